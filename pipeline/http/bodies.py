"""Bodies: what people's requests bring, read as exactly as documents are."""

import re
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException

from evaluation.exact_json import JsonError, read_json
from pipeline.http.keys import Key

WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a group of fields",
}


class ExactRequest(Request[Any, Key, Any]):
    """A request whose JSON is of the types that its route declares: a text is no number, and no name stands twice."""

    async def json(self) -> Any:
        """The body as the route declares it. Raises ClientException with what is wrong with it, and where."""
        try:
            value = read_json(await self.body() or b"null")
        except JsonError as error:
            raise ClientException(_told(str(error))) from None
        declared = self.route_handler.parsed_data_field
        if declared is None:
            return value
        try:
            return msgspec.convert(value, declared.annotation)
        except msgspec.ValidationError as error:
            raise ClientException(_of_type(str(error))) from None


def _told(faults: str) -> str:
    return f"the request {faults}" if faults.startswith("is no JSON") else faults


def _of_type(message: str) -> str:
    """A reader's message, with the place first and types in words."""
    reason, _, place = message.partition(" - at `$")
    if found := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", reason):
        wanted = [*dict.fromkeys(WORDS.get(each, each) for each in found[1].split(" | "))]
        if "a number" in wanted:
            wanted.remove("a whole number") if "a whole number" in wanted else None
        reason = f"is {WORDS.get(found[2], found[2])}; it must be {' or '.join(wanted)}"
    path = place.rstrip("`").lstrip(".")
    return f"{path}: {reason}" if path else f"the request: {reason}"
