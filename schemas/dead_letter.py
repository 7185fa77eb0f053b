"""Dead letter: input that could not be used. The value on `dead-letters` is the original bytes; the rest is headers."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected record, or one rejected event of a record that holds many."""

    reason: str  # a short fixed word group, the record's key: not json, wrong type, no unit, unknown flag, …
    detail: str  # the value, the rule, the place and the way out
    topic: str
    partition: int
    offset: int
    index: int | None = None  # of the event within a record that holds many
    append_time: int  # ms UTC
    value: bytes | None
