"""Gathering: what a stage has to tell the partitions of `units` since it last did, as one message for each of them.

Every message covers the same source offsets, whether it has rows or not. So a source's ranges follow one another
without a hole in every partition, and a lost message shows as a range that begins too late. What assignment tells the
partitions of `identities` is gathered beside it, and cut alike.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.messages import UnitRows
from evaluation.assignment.routing import Assigned, partition_of
from evaluation.identity.attributions import Attributions
from schemas.numbers import LATEST
from schemas.pair import Pair
from schemas.records import Records
from schemas.topics import SourcePartition
from schemas.units import ROWS, Arm, Came, CameKind, Example, Header, Joining, RowKind, Source, encode_units, newest

MOST_TOLD = 20_000  # minutes of which it is remembered that they were told
Name = TypeVar("Name", bound=Hashable)
COLUMNS = [name for name in ROWS.names if name != "source"]


class _Gathered(NamedTuple):
    """Rows of one source, and what their codes stand for."""

    source: SourcePartition
    rows: UnitRows
    arms: list[Arm]
    facts: list[str]
    pairs: list[Pair]


class _Topic:
    """Rows for the partitions of one topic, and the offset from which on each source is covered by them."""

    def __init__(self) -> None:
        self.begin: dict[SourcePartition, int] = {}
        self.parts: list[_Gathered] = []
        self.rows = 0

    def add(self, part: _Gathered) -> None:
        """Rows of one source, if there are any."""
        if len(part.rows.offset):
            self.parts.append(part)
            self.rows += len(part.rows.offset)

    def cut(self, covered: dict[SourcePartition, int]) -> list[_Gathered]:
        """The parts of the sources that are covered, up to these offsets; then it starts afresh."""
        parts = [part for part in self.parts if part.source in covered]
        self.begin, self.parts, self.rows = dict(covered), [], 0
        return parts


class Gathering:
    """Rows and covered ranges of the sources that this worker reads, until they are cut into messages.

    `partitions` are those of `units`, and as many of `identities`; `expected` how many sources there are.
    """

    def __init__(self, partitions: int, horizon: int, expected: int | dict[str, int]) -> None:
        self._partitions = partitions
        self._expected = expected
        self._until = LATEST
        self._delays: dict[str, int] = {}
        self._horizon = horizon
        self._catalog = 0
        self._units, self._identities = _Topic(), _Topic()
        self._end: dict[SourcePartition, int] = {}
        self._watermark: dict[SourcePartition, int] = {}
        self._examples: list[Example] = []
        self._told: set[tuple[CameKind, str, int]] = set()
        self._came: dict[tuple[CameKind, str], list[int]] = {}
        self._joining: dict[tuple[str, str, int], Joining] = {}

    @property
    def rows(self) -> int:
        """How many wait, for either topic."""
        return self._units.rows + self._identities.rows

    @property
    def has_identities(self) -> bool:
        """Whether some of them are for `identities`."""
        return self._identities.rows > 0

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Start to cover a source at an offset; what was known of it is void."""
        self._units.begin[source] = self._identities.begin[source] = self._end[source] = offset
        self._watermark[source] = 0

    def leave(self, sources: Iterable[SourcePartition]) -> None:
        """Cover these sources no longer."""
        for source in sources:
            for known in (self._units.begin, self._identities.begin, self._end, self._watermark):
                known.pop(source, None)

    def add(self, source: SourcePartition, said: Assigned | Attributions) -> None:
        """Take in what one stretch of a source says."""
        if said.begin != self._end[source]:
            raise ValueError(
                f"{source[0]}/{source[1]}: a slice begins at offset {said.begin}, but {self._end[source]} is next; "
                "the worker must start again from its committed offset"
            )
        self._end[source] = said.end
        self._watermark[source] = max(self._watermark[source], said.watermark)
        self._catalog = max(self._catalog, said.catalog)
        if isinstance(said, Attributions):
            self._units.add(_Gathered(source, said, [], said.facts, []))
            self._joining |= {(each.flag, each.run, each.partition): each for each in said.joining}
            return
        self._units.add(_Gathered(source, said, said.arms, said.facts, []))
        rows = said.identities
        self._identities.add(_Gathered(source, rows, said.arms, rows.facts, rows.pairs))
        for what, key, minute in said.came - self._told:
            self._came.setdefault((what, key), []).append(minute)
        self._told |= said.came
        self._examples += said.examples

    def cover(self, source: SourcePartition, end: int) -> None:
        """Nothing more stands before `end`."""
        self._end[source] = max(self._end[source], end)

    def count(self, expected: int | dict[str, int], until: int) -> None:
        """There are so many source partitions, and were no others until that time (ms UTC), which bounds watermarks."""
        self._expected, self._until = expected, until

    def wait(self, delays: dict[str, int]) -> None:
        """The records of these topics have their producers' times, and may come so much (ms) after them."""
        self._delays = delays

    def timed(self, source: SourcePartition, records: Records, now: int) -> Records:
        """Records with their producers' times, as if each had been appended then: but not before the time that the
        source was said to have reached, nor after now (ms UTC, a broker's; 0: that is not known).
        """
        most = now or LATEST
        return replace(records, append_time=np.clip(records.append_time, min(self.watermark(source), most), most))

    def watermark(self, source: SourcePartition) -> int:
        """The append time that a source has reached (ms UTC); 0 where it is not known yet."""
        return max(min(self._watermark.get(source, 0), self._until) - self._delays.get(source[0], 0), 0)

    def reach(self, source: SourcePartition, time: int, catalog: int) -> None:
        """Nothing older than `time` (ms UTC, a broker's) is left to read; `catalog` is the offset in force then."""
        self._watermark[source] = max(self._watermark[source], time)
        self._catalog = max(self._catalog, catalog)

    def cut(self) -> tuple[dict[SourcePartition, int], list[bytes]]:
        """The offsets covered so far, and one message for each units partition that says so; then start afresh."""
        came = [Came(what, key, sorted(minutes)) for (what, key), minutes in sorted(self._came.items())]
        first: dict[str, object] = {"came": came}
        if self._joining:
            first["joining"] = [*self._joining.values()]
        messages = self._messages(self._units, newest(self._examples), first)
        self._examples, self._came, self._joining = [], {}, {}
        if len(self._told) > MOST_TOLD:
            self._told.clear()
        return dict(self._end), messages

    def cut_identities(self) -> list[bytes]:
        """One message for each partition of `identities`, which covers what was taken since the one before."""
        return self._messages(self._identities, [], {})

    def _messages(self, topic: _Topic, examples: list[Example], first: dict[str, object]) -> list[bytes]:
        """A topic's rows by their partitions; in the header of the first one stands more."""
        begin, sources = topic.begin, list(self._end)
        coded = _coded(topic.cut(self._end), {key: number for number, key in enumerate(sources)})
        header = Header(
            catalog=self._catalog,
            horizon=self._horizon,
            sources=[Source(*key, begin[key], self._end[key], self.watermark(key)) for key in sources],
            arms=coded.arms,
            facts=coded.facts,
            expected=self._expected,
            until=0 if self._until == LATEST else self._until,
            examples=examples,
        )
        if coded.pairs:
            header = msgspec.structs.replace(header, pairs=coded.pairs)
        home = partition_of(coded.columns["unit"], self._partitions)
        order = np.argsort(home, kind="stable")
        bounds = np.searchsorted(home[order], np.arange(self._partitions + 1))
        columns = {name: column[order] for name, column in coded.columns.items()}
        headers = [msgspec.structs.replace(header, **first), *[header] * (self._partitions - 1)]
        return [
            encode_units({name: column[low:high] for name, column in columns.items()}, of_partition)
            for low, high, of_partition in zip(bounds[:-1].tolist(), bounds[1:].tolist(), headers, strict=True)
        ]


class _Coded(NamedTuple):
    """Rows of several parts as columns, and what their codes stand for."""

    columns: dict[str, NDArray[Any]]
    arms: list[Arm]
    facts: list[str]
    pairs: list[Pair]


def _coded(parts: list[_Gathered], index: dict[SourcePartition, int]) -> _Coded:
    arms: dict[Arm, int] = {}
    facts: dict[str, int] = {}
    pairs: dict[Pair, int] = {}
    codes = []
    for part in parts:
        kind, code = part.rows.kind, part.rows.code
        of_events = np.where(kind & RowKind.JOIN, _named(part.pairs, pairs, code), _named(part.facts, facts, code))
        codes.append(np.where(kind & RowKind.EXPOSURE, _named(part.arms, arms, code), of_events))
    columns = {
        name: np.concatenate(
            [np.zeros(0, ROWS.field(name).type.to_pandas_dtype())] + [getattr(part.rows, name) for part in parts]
        )
        for name in COLUMNS
        if name != "code"
    }
    columns["code"] = np.concatenate([np.zeros(0, np.uint16), *codes])
    columns["source"] = np.repeat(
        np.array([index[part.source] for part in parts], np.uint16), [len(part.rows.offset) for part in parts]
    )
    return _Coded(columns, list(arms), list(facts), list(pairs))


def _named(names: Sequence[Name], known: dict[Name, int], code: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Codes of a part's names as codes of all names that are `known`; of what is no code of these anything."""
    of_all = np.array([known.setdefault(name, len(known)) for name in names] or [0], np.uint16)
    return of_all[np.minimum(code, len(of_all) - 1)]
