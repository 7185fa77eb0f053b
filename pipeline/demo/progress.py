"""Progress: what the traffic says of itself, a line of JSON a second."""

import msgspec


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Records that one append made: when they were handed to the client, and when the broker appended them (ms UTC)."""

    produced: int
    appended: int
    records: int


class TrafficProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Records acknowledged since the beginning, by topic, and the batches acknowledged since the last progress."""

    acknowledged: dict[str, int]
    batches: list[Batch]
