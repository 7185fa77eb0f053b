"""Dead letters: the messages of a slice that could not be used, and where each message stood first."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec
import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.columns.arrays import Mask, Words
from evaluation.sources.spans import Came
from schemas.dead_letter import DeadLetter, OriginPlace, Reason, resent_from
from schemas.records import KEY, Headers, Records
from schemas.topics import MARK

LONGEST_SHOWN = 100  # characters of a value in a letter
MOST_ALONE = 10  # elements of a record that have dead letters of their own, each a copy of the record; others share one
MOST_RANGES = 20  # of their indices that are shown


class DeadLetters:
    """The dead letters of one slice."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._dead_letters: list[tuple[int, int, DeadLetter]] = []
        self._alone = Counter[tuple[int, str | None]]()  # elements, by row and source
        self._refused = defaultdict[str | None, list[int]](list)  # messages of columns, by source, as `_messages` says
        self._sharing: dict[tuple[int, str | None, Reason], tuple[str, list[int]]] = {}  # the first's detail, indices

    def add(  # noqa: PLR0917
        self, row: int, index: int | None, reason: Reason, detail: str, value: Came, source: str | None = None
    ) -> None:
        """Reject one message, that of a source too; one that was sent again keeps its first origin and append time.

        Of many elements of one record some are told alone and all others, for each reason, in one dead letter.
        """
        if callable(value):
            if self._alone[row, source] == MOST_ALONE:
                self._sharing.setdefault((row, source, reason), (detail, []))[1].append(index or 0)
                return
            self._alone[row, source] += 1
            value = value()
        self._dead_letters.append((row, index or 0, self._dead_letter(row, index, reason, detail, value, source)))

    def _dead_letter(  # noqa: PLR0917
        self, row: int, index: int | None, reason: Reason, detail: str, value: bytes | None, source: str | None
    ) -> DeadLetter:
        first = place_of(self._records, row, index)
        topic, partition, offset, first_index = first.place
        return DeadLetter(
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

    def _shared(self) -> Iterator[tuple[int, int, DeadLetter]]:
        for (row, source, reason), (detail, indices) in self._sharing.items():
            others = np.unique(indices)
            said = (
                f"{len(others)} more elements of this record, {_ranges(others)}, are of no use; one of them: {detail}. "
                "Sent again, the whole record is read, and what counted already does not count twice"
            )
            dead_letter = self._dead_letter(row, None, reason, said, self._records.value(row), source)
            yield row, int(others[0]), msgspec.structs.replace(dead_letter, others=tuple(others.tolist()))

    def _headers(self, row: int) -> Headers:
        """The record's, and its key, where that is read."""
        keys = self._records.keys
        key = None if keys is None else keys.value(row)
        return (() if key is None else ((KEY, key),)) + self._records.headers.get(row, ())

    def reject(self, columns: MessageColumns, i: int, reason: Reason, detail: str) -> None:
        """Reject one message of the columns; one that only a schema explains is told with it."""
        if columns.written_by and (schema := columns.written_by(i)):
            detail = f"{detail}; written by {schema}"
        value = partial(columns.value, i)
        came = value if columns.are_elements else value()
        self.add(int(columns.row[i]), columns.index_of(i), reason, detail, came, columns.source)
        self._refused[columns.source].append(int(_messages(columns)[i]))

    def reject_whole(
        self, row: int, its: Sequence[MessageColumns], source: str | None, reason: Reason, detail: str
    ) -> None:
        """Reject what a source made of one record, `its` columns: all that is not rejected yet, as one."""
        others: list[int] = []
        for columns in its:
            left = np.flatnonzero((columns.row == row) & ~self.refused(columns))
            self._refused[source] += _messages(columns)[left].tolist()
            others += columns.index[left[columns.is_one_of_many[left]]].tolist()
        dead_letter = self._dead_letter(row, None, reason, detail, self._records.value(row), source)
        self._dead_letters.append((row, 0, msgspec.structs.replace(dead_letter, others=tuple(others))))

    def refused(self, columns: MessageColumns) -> Mask:
        """Which of these messages have been rejected."""
        return np.isin(_messages(columns), self._refused[columns.source])

    def in_order(self) -> list[DeadLetter]:
        """All dead letters, as their messages stand in the slice."""
        return [dead_letter for _, _, dead_letter in self._sorted()]

    def times(self) -> list[int]:
        """When (ms UTC) the record of each was appended, in the same order: of one that was sent again, this time."""
        return [int(self._records.append_time[row]) for row, _, _ in self._sorted()]

    def _sorted(self) -> list[tuple[int, int, DeadLetter]]:
        return sorted([*self._dead_letters, *self._shared()], key=lambda each: each[:2])


def _messages(columns: MessageColumns) -> Words:
    """Row and index of each message, as one number."""
    return columns.row << 32 | columns.index


def _ranges(indices: Words) -> str:
    """Whole numbers that ascend, in words, bounded in length."""
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    runs = [(int(run[0]), int(run[-1])) for run in np.split(indices, breaks[:MOST_RANGES])]
    said = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs[:MOST_RANGES])
    return said if len(breaks) < MOST_RANGES else f"{said} and so on"


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
