"""JSON columns: JSON objects made of columns of JSON texts, all rows at once."""

import msgspec
import pyarrow as pa
import pyarrow.compute as pc


def quoted(text: str) -> str:
    """The text as a JSON string."""
    return msgspec.json.encode(text).decode()


def joined(*parts: str | pa.Array) -> pa.Array:
    """The parts (large strings) one after another; null where one is."""
    texts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*texts, pa.scalar("", pa.large_string()))


def listed(members: list[pa.Array]) -> pa.Array:
    """The members that are there, each of which begins with a comma, but for the first comma."""
    return pc.ascii_ltrim(joined(*(pc.coalesce(each, "") for each in members)), ",")
