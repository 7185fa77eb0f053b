"""Arrivals: what came on `events` and `exposures`, counted by name and minute. A record on `arrivals`.

Whoever counts, the assignment stage, tells a minute again each second while more comes. A record's key is
WORKER/PART, and the newest of each key says all that its part of the minute has; so what came in a minute is the sum
over the keys. Samples stand in it when one is new, and once the minute is over. Each record of a source is counted
once, whatever is read again: `reached` says how far it was counted.
"""

from typing import Annotated

import msgspec

from schemas.dead_letter import Reason
from schemas.fields import says
from schemas.numbers import Count, Small, Time

LONGEST_NAME = 256  # bytes of a name, in UTF-8; of a longer one the beginning is told, and `…`
LARGEST_SAMPLE = 2_000  # bytes of a message that is shown

_Library = Annotated[
    str | None, says("library", "none", "What sent it, by its field `library`: name/version. Null where it says none.")
]
_Counted = Annotated[Count, says("records", "none", "How many messages came.")]
_Last = Annotated[Time, says("last", "ms UTC", "When Kafka appended the last of them.")]


class EventsArrived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events of one name that one library sent, within the minute."""

    name: Annotated[str, says("name", "none", "The event type.")]
    library: _Library = None
    count: _Counted
    last: _Last


class ExposuresArrived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exposures that say the same flag, variant, run and segment, and that one library sent, within the minute."""

    flag: Annotated[str, says("flag", "none", "The flag's key, as it was sent.")]
    variant: Annotated[
        str | None, says("variant", "none", "The variant, as it was sent; null where the exposure asks for one.")
    ] = None
    run: Annotated[
        str | None,
        says(
            "run",
            "none",
            "The run that they name, by `experiment_key` or `metadata.experimentKey`; null where they name none.",
        ),
    ] = None
    segment: Annotated[
        str | None,
        says(
            "segment",
            "none",
            "The segment of the answer, by `metadata.segmentName`; null where they say none.",
        ),
    ] = None
    library: _Library = None
    count: _Counted
    last: _Last


class DeadLettersArrived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What could not be used for one reason, within the minute, and the last of it."""

    topic: Annotated[str, says("topic", "none", "Where it came.")]
    reason: Annotated[Reason, says("reason", "none", "Why it could not be used.")]
    count: _Counted
    last: _Last
    detail: Annotated[str, says("detail", "none", "Of the last: the value, the rule, the place and the way out.")]
    origin: Annotated[str, says("origin", "none", "Of the last: topic/partition/offset, and /index among many.")]
    value: Annotated[str, says("value", "none", "The last message, or its beginning.")]
    is_cut: Annotated[bool, says("cut", "none", "Whether only its beginning is here.")] = False


class ArrivedSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a name."""

    topic: Annotated[str, says("topic", "none", "Where it came.")]
    name: Annotated[str, says("name", "none", "The event's name, or the flag's key.")]
    time: Annotated[Time, says("time", "ms UTC", "When Kafka appended it.")]
    value: Annotated[str, says("value", "none", "The message, or its beginning.")]
    is_cut: Annotated[bool, says("cut", "none", "Whether only its beginning is here.")] = False


class MoreArrived(msgspec.Struct, frozen=True, kw_only=True):
    """Kinds of messages that were not kept apart, as too many came: the rarest."""

    topic: Annotated[str, says("topic", "none", "Where they came.")]
    kinds: Annotated[
        Count, says("kinds", "none", "How many there were at most: one that was dropped may have come again.")
    ]
    count: _Counted


class SourceReached(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a partition was counted."""

    topic: Annotated[str, says("topic", "none", "The topic, without the prefix.")]
    partition: Annotated[Small, says("partition", "none", "The partition of the topic.")]
    offset: Annotated[Count, says("offset", "none", "What lies before it was counted.")]
    log: Annotated[str, says("log", "none", "Kafka's id of the topic; in another one offsets begin anew.")] = ""


class Arrivals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one worker has counted of one minute of append time, in one part of its own."""

    worker: Annotated[str, says("worker", "none", "Who counted, by machine, process and start.")]
    part: Annotated[Count, says("part", "none", "Its number among the worker's parts.")]
    minute: Annotated[Time, says("minute", "ms UTC", "The beginning of the minute, by when Kafka appended.")]
    events: Annotated[list[EventsArrived], says("events", "none", "Events by name and library, the most first.")] = []
    exposures: Annotated[
        list[ExposuresArrived], says("exposures", "none", "Exposures by what they say, the most first.")
    ] = []
    dead_letters: Annotated[
        list[DeadLettersArrived], says("dead letters", "none", "What could not be used, by reason.")
    ] = []
    samples: Annotated[list[ArrivedSample], says("samples", "none", "A message of each name.")] = []
    more: Annotated[list[MoreArrived], says("more", "none", "What was not kept apart.")] = []
    reached: Annotated[
        list[SourceReached], says("reached", "none", "How far the worker had counted each partition when it told this.")
    ] = []

    @property
    def key(self) -> str:
        """Of the record."""
        return f"{self.worker}/{self.part}"
