"""Dead letter: input that could not be used. The value on `dead-letters` is the original bytes; the rest is `HEADERS`.

What is larger than a message is cut, and its detail says so. A dead letter that is sent again
carries its original headers, `peekproof-append-time` (by which lateness is judged), `peekproof-origin` (which stands in
for a missing insert id, so that sending twice counts once), and `peekproof-source`, if a source read it (whose map is
applied to it again).
"""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.decoding import NoMessageError
from schemas.numbers import LATEST
from schemas.records import Headers
from schemas.topics import MAX_MESSAGE_BYTES

LARGEST_DEAD_LETTER = (
    MAX_MESSAGE_BYTES - 100_000
)  # bytes of a value and its headers; the rest is for what a dead letter adds
REASON = "peekproof-reason"
DETAIL = "peekproof-detail"
ORIGIN = "peekproof-origin"
APPEND_TIME = "peekproof-append-time"
SOURCE = "peekproof-source"
CONTENT_TYPE = "content-type"
OF_ORIGIN = "origin."
OriginPlace = tuple[str, int, int, int | None]  # topic, partition, offset, index within a record that holds many
# What fits an int32 and int64s, in which Kafka and tables have them.
_PLACE = re.compile(r"([^/]*)/(\d{1,9})/(\d{1,18})(?:/(\d{1,18}))?", re.ASCII)

Reason = Literal[
    "empty",
    "too large",
    "too deep",
    "not json",
    "not arrow",
    "not avro",
    "not protobuf",
    "unknown schema",
    "wrong type",
    "time out of range",
    "future",
    "no unit",
    "unknown flag",
    "unknown run",
    "unknown version",
    "unknown variant",
    "unknown source",
    "value out of range",
]
REASONS: dict[Reason, str] = {
    "empty": "The value is null or empty, or holds no line.",
    "too large": "A message has more than 1 MB, or a record more messages than can be used at once.",
    "too deep": "A message is nested more than 64 levels deep.",
    "not json": "A message is no JSON in UTF-8.",
    "not arrow": "The header says Arrow, but the value is no Arrow IPC stream.",
    "not avro": "The record of a source's topic is not what the schema of Avro says that it names.",
    "not protobuf": "The same of Protobuf.",
    "unknown schema": "The registry has no such schema, or one that cannot be read.",
    "wrong type": "A field is missing, or of another type, such as an id that is a number.",
    "time out of range": "`time` is no milliseconds UTC: in seconds, negative, or beyond the year 9999.",
    "future": "`time` lies further after the append time than the setting `tolerance` allows.",
    "no unit": "It carries no id; an exposure must carry the one that its flag is split by.",
    "unknown flag": "No flag of this key was applied before: apply it, then send again.",
    "unknown run": "`experiment_key` names no run of the flag.",
    "unknown version": "`metadata.flagVersion` is newer than the flag's, or of another run than is named.",
    "unknown variant": "The flag has no such variant.",
    "unknown source": "It names no source, or one that there is no more, or that makes something else.",
    "value out of range": "Only former versions of Peekproof wrote this one.",
}
HEADERS = {
    REASON: "The reason; it is the record's key too.",
    DETAIL: "A sentence that names the value, the rule, the place and the way out.",
    ORIGIN: "Where the input stands: topic/partition/offset, and /index within a record that holds many.",
    APPEND_TIME: "When Kafka appended the input, in ms UTC; of a dead letter that was sent again, the first time.",
    SOURCE: "Of the record of a foreign topic, the key of the source that read it so.",
    f"{OF_ORIGIN}NAME": "The input's own header NAME.",
}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected record, or one rejected event of a record that holds many: then `value` is that event's bytes."""

    reason: Reason  # the record's key
    detail: str  # the value, the rule, the place and the way out; bounded in length
    topic: str
    partition: int
    offset: int
    index: int | None = None  # of the event within a record that holds many
    append_time: int  # ms UTC; of a dead letter that was sent again, the first one
    source: str | None = None  # the key of the source that read it
    headers: Headers = ()  # of the original record
    value: bytes | None
    others: tuple[int, ...] = ()  # of a whole record: its elements of which it tells; it does not travel

    @property
    def messages(self) -> int:
        """Of how many messages it tells."""
        return max(1, len(self.others))

    @property
    def itself(self) -> tuple[str, str | None, Reason]:
        """Its origin, source and reason, which no other has: a restarted worker writes some again."""
        return self.origin, self.source, self.reason

    @property
    def origin(self) -> str:
        """Where the input stands: topic/partition/offset, and /index within a record that holds many."""
        place = f"{self.topic}/{self.partition}/{self.offset}"
        return place if self.index is None else f"{place}/{self.index}"


def fitted(dead_letter: DeadLetter) -> DeadLetter:
    """The dead letter as a message holds it: of one that is too large the value's beginning, without its headers."""
    size = len(dead_letter.value or b"") + sum(len(name) + len(data) for name, data in to_headers(dead_letter))
    if size <= LARGEST_DEAD_LETTER:
        return dead_letter
    detail = (
        f"{dead_letter.detail}. Of its {size} bytes, headers included, a dead letter holds {LARGEST_DEAD_LETTER}: "
        "this is the value's beginning; the whole is at its origin for as long as that topic is kept"
    )
    return msgspec.structs.replace(
        dead_letter, value=dead_letter.value and dead_letter.value[:LARGEST_DEAD_LETTER], headers=(), detail=detail
    )


def to_headers(dead_letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The headers under which the dead letter travels on `dead-letters`."""
    return [
        (REASON, dead_letter.reason.encode()),
        (DETAIL, dead_letter.detail.encode("utf-8", "replace")),
        (ORIGIN, dead_letter.origin.encode()),
        (APPEND_TIME, str(dead_letter.append_time).encode()),
        *_of_source(dead_letter),
        *((OF_ORIGIN + name, value) for name, value in dead_letter.headers),
    ]


def from_record(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> DeadLetter:
    """The dead letter that a record of `dead-letters` holds. Raises NoMessageError if its headers don't say one."""
    found = [(name, data or b"") for name, data in headers]
    own = {name: data for name, data in found if not name.startswith(OF_ORIGIN)}
    missing = [name for name in (REASON, DETAIL, ORIGIN, APPEND_TIME) if name not in own]
    if missing:
        raise NoMessageError(f"no dead letter: header {missing[0]!r} is missing; only the pipeline writes this topic")
    if (origin := resent_from(own.items())) is None:
        raise NoMessageError(
            f"no dead letter: headers {ORIGIN!r} and {APPEND_TIME!r} say no place and time; only the pipeline writes "
            "this topic"
        )
    append_time, (topic, partition, offset, index) = origin
    return DeadLetter(
        reason=own[REASON].decode(),  # type: ignore[arg-type]
        detail=own[DETAIL].decode(),
        topic=topic,
        partition=partition,
        offset=offset,
        index=index,
        append_time=append_time,
        source=own[SOURCE].decode("utf-8", "replace") if SOURCE in own else None,
        headers=tuple((name.removeprefix(OF_ORIGIN), data) for name, data in found if name.startswith(OF_ORIGIN)),
        value=value,
    )


def resent_headers(dead_letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The headers under which the dead letter's value goes back to its topic."""
    return [
        *(header for header in dead_letter.headers if _goes_back(header[0], dead_letter.index)),
        (APPEND_TIME, str(dead_letter.append_time).encode()),
        (ORIGIN, dead_letter.origin.encode()),
        *_of_source(dead_letter),
    ]


def _of_source(dead_letter: DeadLetter) -> list[tuple[str, bytes]]:
    return [] if dead_letter.source is None else [(SOURCE, dead_letter.source.encode())]


def resent_from(headers: Iterable[tuple[str, bytes]]) -> tuple[int, OriginPlace] | None:
    """The first append time (ms UTC) and place of a record that was sent again; None for any other record."""
    found = dict(headers)
    try:
        append_time, place = int(found[APPEND_TIME]), _PLACE.fullmatch(found[ORIGIN].decode())
    except (KeyError, ValueError):
        return None
    if place is None or not 0 <= append_time <= LATEST:
        return None
    topic, partition, offset, index = place.groups()
    return append_time, (topic, int(partition), int(offset), None if index is None else int(index))


def _goes_back(name: str, index: int | None) -> bool:
    # One event of many travels on its own, so the content type of the many does not fit it.
    return name not in {APPEND_TIME, ORIGIN, SOURCE} and (index is None or name.lower() != CONTENT_TYPE)
