"""Dead letters: the messages of a slice that could not be used, and where each message stood first."""

from dataclasses import dataclass, replace

from evaluation.assignment.columns import MessageColumns
from schemas.dead_letter import DeadLetter, OriginPlace, Reason, resent_from
from schemas.records import KEY, Headers, Records
from schemas.topics import MARK

LONGEST_SHOWN = 100  # characters of a value in a letter


class DeadLetters:
    """The dead letters of one slice."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._dead_letters: list[tuple[int, int, DeadLetter]] = []

    def add(  # noqa: PLR0917
        self, row: int, index: int | None, reason: Reason, detail: str, value: bytes | None, source: str | None = None
    ) -> None:
        """Reject one message, that of a source too; one that was sent again keeps its first origin and append time."""
        first = place_of(self._records, row, index)
        topic, partition, offset, first_index = first.place
        dead_letter = DeadLetter(
            reason=reason,
            detail=detail if source is None else f"source '{source}': {detail}",
            topic=topic,
            partition=partition,
            offset=offset,
            index=first_index,
            append_time=first.append_time,
            source=source,
            headers=self._headers(row),
            value=value,
        )
        self._dead_letters.append((row, index or 0, dead_letter))

    def _headers(self, row: int) -> Headers:
        """The record's, and its key, where that is read."""
        keys = self._records.keys
        key = None if keys is None else keys.value(row)
        return (() if key is None else ((KEY, key),)) + self._records.headers.get(row, ())

    def reject(self, columns: MessageColumns, i: int, reason: Reason, detail: str) -> None:
        """Reject one message of the columns; one that only a schema explains is told with it."""
        if columns.written_by and (schema := columns.written_by(i)):
            detail = f"{detail}; written by {schema}"
        self.add(int(columns.row[i]), columns.index_of(i), reason, detail, columns.value(i), columns.source)

    def in_order(self) -> list[DeadLetter]:
        """All dead letters, as their messages stand in the slice."""
        return [dead_letter for _, _, dead_letter in self._sorted()]

    def times(self) -> list[int]:
        """When (ms UTC) the record of each was appended, in the same order: of one that was sent again, this time."""
        return [int(self._records.append_time[row]) for row, _, _ in self._sorted()]

    def _sorted(self) -> list[tuple[int, int, DeadLetter]]:
        return sorted(self._dead_letters, key=lambda each: each[:2])


@dataclass(frozen=True, slots=True)
class MessageOrigin:
    """Where and when a message stood first."""

    append_time: int
    place: OriginPlace

    @property
    def text(self) -> str:
        """topic/partition/offset, and /index within a record that held many"""
        return "/".join(str(part) for part in self.place if part is not None)

    def read_by(self, source: str | None) -> "MessageOrigin":
        """The same of what a source read: several may read one record, and each makes a message of it."""
        topic, partition, offset, index = self.place
        return self if source is None else replace(self, place=(f"{topic}#{source}", partition, offset, index))


def origin_of(records: Records, row: int) -> MessageOrigin | None:
    """The origin of a record that was sent again; None for any other."""
    found = resent_from(records.headers.get(row, ()))
    return None if found is None else MessageOrigin(*found)


def origins_of(records: Records) -> dict[int, MessageOrigin]:
    """By row, the origins of the records that were sent again: to topics of ours alone."""
    if records.topic.startswith(MARK):
        return {}
    return {row: origin for row in records.headers if (origin := origin_of(records, row))}


def place_of(records: Records, row: int, index: int | None) -> MessageOrigin:
    """Where a message stood first; `index` within a record that holds many."""
    if origin := origin_of(records, row):
        topic, partition, offset, first_index = origin.place
        return MessageOrigin(
            origin.append_time, (topic, partition, offset, index if first_index is None else first_index)
        )
    place = (records.topic, records.partition, int(records.offset[row]), index)
    return MessageOrigin(int(records.append_time[row]), place)


def shown(value: object) -> str:
    """A value in a dead letter, bounded in length."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} characters)"
