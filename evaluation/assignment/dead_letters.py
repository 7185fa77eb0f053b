"""Letters: the messages of a slice that could not be used, and where each message stood first."""

from dataclasses import dataclass

from evaluation.assignment.columns import Columns
from schemas.dead_letter import DeadLetter, Place, Reason, resent_from
from schemas.records import Records

SHOWN = 100  # characters of a value in a letter


class Letters:
    """The dead letters of one slice."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._letters: list[tuple[int, int, DeadLetter]] = []

    def add(self, row: int, index: int | None, reason: Reason, detail: str, value: bytes | None) -> None:
        """Reject one message. A letter that was sent again keeps its first origin and append time."""
        first = place_of(self._records, row, index)
        topic, partition, offset, first_index = first.place
        letter = DeadLetter(
            reason=reason,
            detail=detail,
            topic=topic,
            partition=partition,
            offset=offset,
            index=first_index,
            append_time=first.append_time,
            headers=self._records.headers.get(row, ()),
            value=value,
        )
        self._letters.append((row, index or 0, letter))

    def reject(self, columns: Columns, i: int, reason: Reason, detail: str) -> None:
        """Reject one message of the columns."""
        self.add(int(columns.row[i]), columns.index_of(i), reason, detail, columns.value(i))

    def in_order(self) -> list[DeadLetter]:
        """All letters, as their messages stand in the slice."""
        return [letter for _, _, letter in sorted(self._letters, key=lambda each: each[:2])]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a message stood first."""

    append_time: int
    place: Place

    @property
    def text(self) -> str:
        """topic/partition/offset, and /index within a record that held many"""
        return "/".join(str(part) for part in self.place if part is not None)


def origin_of(records: Records, row: int) -> Origin | None:
    """The origin of a record that was sent again; None for any other."""
    found = resent_from(records.headers.get(row, ()))
    return None if found is None else Origin(*found)


def place_of(records: Records, row: int, index: int | None) -> Origin:
    """Where a message stood first; `index` within a record that holds many."""
    if origin := origin_of(records, row):
        topic, partition, offset, first_index = origin.place
        return Origin(origin.append_time, (topic, partition, offset, index if first_index is None else first_index))
    place = (records.topic, records.partition, int(records.offset[row]), index)
    return Origin(int(records.append_time[row]), place)


def shown(value: object) -> str:
    """A value in a letter, bounded in length."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
