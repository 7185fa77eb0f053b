"""Identities: who is behind which unit, in one partition of `identities`, a fold over its messages.

Theory of operation. A loose event of time t counts for the unit of its identity's first join, by event time, among
those of times up to t and a horizon: a function of the set of records. It is told at once of the unit that is known;
when an earlier join comes, it is taken from the former unit and given to the other. That ends by itself: a join that is
still to come was appended at or after the clock, so its time is not before the clock less a horizon (the bound), and it
concerns events of times not before the bound less another horizon alone. These are kept. What is told follows from the
messages alone, one by one, so that whoever folds them again tells the same again, and aggregation skips it.

Aggregation is told a watermark that is a horizon behind: what is still to be told is then never late.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.assignment.plan import events_until
from evaluation.catalog.in_force import Catalog, RunInForce
from evaluation.columns.arrays import Words
from evaluation.identity import checkpoint
from evaluation.identity.attributions import Attributions
from evaluation.identity.first_joins import FirstJoins
from evaluation.identity.keyed_rows import keys_of
from evaluation.identity.loose_events import KIND_BITS, LOOSE, LooseEvents
from evaluation.identity.meetings import Meetings
from evaluation.metrics.facts import Facts
from evaluation.metrics.layouts import Table, words_of
from evaluation.metrics.sources import Sources
from schemas.decoding import NoMessageError
from schemas.logs import Gap
from schemas.pair import Pair, pair_of
from schemas.units import Arm, Header, Joining, RowKind, decode_units

NEWEST = 1 << 62  # beyond every offset of the catalog
MOST_ROWS = (
    100_000  # that follow from one message; of those that a crowd's joins move the others wait for the next ones
)
_KIND = (1 << KIND_BITS) - 1
TOLD = np.dtype((np.record, [(name, np.int64) for name in ("unit", "time", "id", "value", "what")]))
Name = tuple[str, str]  # flag and run


class _Asking(NamedTuple):
    """A run that asks for the people behind its units."""

    run: RunInForce
    facts: Words  # numbers of the loose ones that it reads
    ends: int  # no event of a time from then on counts (ms UTC)
    over: int  # nor does any clock that is later


class Identities:
    """The state of one partition of `identities` after every record before `offset`.

    `catalog` is the catalog offset in force; an event time further than `horizon` (ms) behind the clock is late.
    """

    def __init__(self, partition: int, horizon: int) -> None:
        self.partition = partition
        self.horizon = horizon
        self.offset = 0
        self.catalog = 0
        self._sources = Sources()
        self._facts = Facts(f"identities/{partition}")
        self._pairs: list[Pair] = []
        self._joins = FirstJoins()
        self._loose = LooseEvents()
        self._told = 0  # the watermark that was told
        self._untold = np.zeros(0, TOLD)
        self._waiting = np.zeros(0, np.int64)  # by fact
        self._unjoined: defaultdict[Name, int] = defaultdict(int)
        self._moved: defaultdict[Name, int] = defaultdict(int)
        self._meetings: dict[Name, Meetings] = {}
        self._runs: dict[Name, _Asking] = {}  # those that can still count something
        self._adopted = 0  # the catalog offset by which they are known

    @property
    def watermark(self) -> int:
        """What it tells aggregation (ms UTC): its own clock less a horizon, for joins may still come; 0: unknown.

        While something that follows has not been told, it stands still.
        """
        return self._told

    @property
    def sources(self) -> dict[tuple[str, int], int]:
        """The next offset of each source partition."""
        return self._sources.offsets

    def reached(self, topic: str, partition: int) -> int:
        """The append time (ms UTC) that a source has reached; 0: not known."""
        return self._sources.reached((topic, partition))

    @property
    def gaps(self) -> list[Gap]:
        """What is missing for good, as somebody accepted."""
        return self._sources.gaps

    @property
    def _bound(self) -> int:
        """A record of a time before it (ms UTC) that is still to come is late."""
        return self._sources.watermark - self.horizon

    def fold(
        self, offset: int, message: bytes | memoryview, catalog_at: Callable[[int], Catalog]
    ) -> Attributions | None:
        """Fold one message of the partition's log, and tell what follows from it: the same whoever folds it.

        None: it lies before `self.offset`. `catalog_at` and what is raised are as in `Partition.fold`.
        """
        if offset < self.offset:
            return None
        return self._take(offset, *decode_units(message), catalog_at)

    def _take(
        self, offset: int, batch: pa.RecordBatch, header: Header, catalog_at: Callable[[int], Catalog]
    ) -> Attributions:
        place = f"identities/{self.partition} at offset {offset}"
        if header.horizon != self.horizon:
            raise ValueError(
                f"{place}: the message judges lateness by a horizon of {header.horizon} ms, this state by "
                f"{self.horizon} ms; give every stage the one that the installation began with"
            )
        rows = _new(batch, header, self._sources.floors(place, header, catalog_at(NEWEST).logs), place)
        self._adopt(header.catalog, catalog_at, place)
        bound = self._bound
        on_time = (rows["kind"] & RowKind.LATE == 0) & (rows["time"] >= bound)
        is_join, is_met = rows["kind"] & RowKind.JOIN != 0, rows["kind"] & RowKind.EXPOSURE != 0
        told = self._join(rows[is_join & on_time], header)
        self._meet(rows[is_met & on_time], header.arms)
        late = np.where(on_time, 0, int(RowKind.LATE))
        is_loose = ~(is_join | is_met)
        told.append(self._happen(rows[is_loose], late[is_loose], header, bound))
        self._sources.advance(header)
        self._expire()
        begin, self.offset = self.offset, offset + 1
        return self._attributions(offset, begin, self._next(told))

    def _next(self, told: list[Table]) -> Table:
        """What is told now: as much as travels in one message, in order."""
        found = np.concatenate([self._untold, *told])
        self._untold = found[MOST_ROWS:].copy()
        if not len(self._untold):
            self._told = max(0, self._bound)
        return found[:MOST_ROWS]

    def _join(self, rows: Table, header: Header) -> list[Table]:
        """Take in joins: events that are taken from units, then those that are given to others."""
        pairs = [] if isinstance(header.pairs, msgspec.UnsetType) else header.pairs
        numbers = np.array([self._pair(pair) for pair in pairs] or [0])
        keys = keys_of(rows["unit"].view(np.uint64), numbers[rows["code"]])
        change = self._joins.put(keys, rows["time"], rows["value"])
        taken, of_taken, given, of_given = self._loose.changed(change, self.horizon)
        self._wait(given, -1)
        self._wait(taken, 1)
        self._count(self._moved, taken)
        return [_to_tell(taken, of_taken, int(RowKind.WITHDRAWN)), _to_tell(given, of_given)]

    def _happen(self, rows: Table, late: Words, header: Header, bound: int) -> Table:
        """Take in loose events: those whose unit is known."""
        numbers = np.array([self._facts.number(fact) for fact in header.facts] or [0])
        pairs = [pair_of(fact) for fact in header.facts]
        of_facts = np.array([self._pair(pair) if pair else 0 for pair in pairs] or [0])
        self._waiting = np.append(self._waiting, np.zeros(len(self._facts.keys()) - len(self._waiting), np.int64))
        events = np.zeros(len(rows), LOOSE)
        events["key"] = keys_of(rows["unit"].view(np.uint64), of_facts[rows["code"]])
        events["time"], events["id"], events["value"] = rows["time"], rows["id"], rows["value"]
        events["what"] = numbers[rows["code"]] << KIND_BITS | rows["kind"] | late
        times, units = self._joins.get(events["key"])
        is_given = times <= events["time"] + self.horizon
        is_kept = events["time"] >= bound - self.horizon
        self._loose.keep(events[is_kept])
        self._wait(events[is_kept & ~is_given], 1)
        return _to_tell(events[is_given], units[is_given])

    def _pair(self, pair: Pair) -> int:
        if pair not in self._pairs:
            self._pairs.append(pair)
        return self._pairs.index(pair)

    def _meet(self, rows: Table, arms: list[Arm]) -> None:
        """Note whom people met, of runs that still count."""
        for code in np.unique(rows["code"]).tolist():
            arm = arms[code]
            if asking := self._runs.get((arm.flag, arm.run)):
                its = rows[rows["code"] == code]
                keys = keys_of(its["unit"].view(np.uint64), arm.allocation)
                variants = [variant.key for variant in asking.run.definition.variants]
                number = variants.index(arm.variant) if arm.variant in variants else len(variants)
                meetings = self._meetings.setdefault((arm.flag, arm.run), Meetings())
                meetings.put(keys, its["value"], np.full(len(its), number))

    def _expire(self) -> None:
        """Forget events that no join concerns any more, and runs that count no more."""
        expired = self._loose.expire(self._bound - self.horizon)
        times, _ = self._joins.get(expired["key"])
        alone = expired[times > expired["time"] + self.horizon]
        self._wait(alone, -1)
        self._count(self._unjoined, alone)
        clock = self._sources.watermark
        for name in [name for name, asking in self._runs.items() if asking.over < clock]:
            del self._runs[name]
            self._meetings.pop(name, None)

    def _wait(self, events: Table, sign: int) -> None:
        """So many more, or fewer, of events on time that wait for a join."""
        its = events[events["what"] & RowKind.LATE == 0]["what"] >> KIND_BITS
        self._waiting += sign * np.bincount(its, minlength=len(self._waiting))

    def _count(self, counts: defaultdict[Name, int], events: Table) -> None:
        """Count those of the events that are on time and of the time of a run, for each that reads their fact."""
        its = events[events["what"] & RowKind.LATE == 0]
        if not len(its):
            return
        facts = its["what"] >> KIND_BITS
        for name, asking in self._runs.items():
            is_read = np.isin(facts, asking.facts) & (its["time"] >= asking.run.started) & (its["time"] < asking.ends)
            counts[name] += int(is_read.sum())

    def _adopt(self, offset: int, catalog_at: Callable[[int], Catalog], place: str) -> None:
        offset = max(offset, self.catalog)
        if offset == self._adopted:
            return
        catalog = catalog_at(offset)
        if catalog.offset < offset:
            raise ValueError(
                f"{place}: the message was made under catalog offset {offset}, but the catalog was read only up to "
                f"{catalog.offset}; read it up to its end before folding"
            )
        self.catalog = self._adopted = offset
        asking = [self._asking(run) for flag in catalog.flags.values() for run in flag.runs if run.pair]
        clock = self._sources.watermark
        self._runs = {(each.run.flag, each.run.key): each for each in asking if each.over >= clock}
        self._waiting = np.append(self._waiting, np.zeros(len(self._facts.keys()) - len(self._waiting), np.int64))

    def _asking(self, run: RunInForce) -> _Asking:
        facts = [self._facts.number(key) for key in run.facts if pair_of(key)]
        until = events_until(run, self.horizon)  # a horizon after the last event that counts
        over = until if run.completed is None else until + 2 * self.horizon
        return _Asking(run, np.array(facts, np.int64), until - self.horizon, over)

    def _attributions(self, offset: int, begin: int, told: Table) -> Attributions:
        codes, code = np.unique(told["what"] >> KIND_BITS, return_inverse=True)
        keys = self._facts.keys()
        return Attributions(
            offset=np.full(len(told), offset),
            kind=(told["what"] & _KIND).astype(np.uint8),
            code=code.astype(np.uint16),
            unit=told["unit"].copy().view(np.uint64),
            time=told["time"].copy(),
            id=told["id"].copy().view(np.uint64),
            value=told["value"].copy(),
            catalog=self.catalog,
            begin=begin,
            end=self.offset,
            watermark=self.watermark,
            facts=[keys[number] for number in codes.tolist()],
            joining=[self._joining(name) for name in sorted(self._runs)],
        )

    def _joining(self, name: Name) -> Joining:
        waiting = int(self._waiting[self._runs[name].facts].sum())
        crossed = self._meetings[name].crossed if name in self._meetings else 0
        return Joining(*name, self.partition, self._unjoined[name], waiting, self._moved[name], crossed)

    def skip(self, gap: Gap, end: int) -> None:
        """Go on at `end` of the partition's log, behind an accepted gap of it."""
        self._sources.doubt(msgspec.structs.replace(gap, begin=self.offset, end=end))
        self.offset = end

    def save(self) -> bytes:
        """The state as a checkpoint: the joins, the loose events, and whom people met."""
        meetings = sorted(self._meetings.items())
        state = checkpoint.IdentitiesState(
            format=checkpoint.FORMAT,
            partition=self.partition,
            horizon=self.horizon,
            offset=self.offset,
            told=self._told,
            catalog=self.catalog,
            sources=self._sources.state(),
            facts=self._facts.keys(),
            pairs=self._pairs,
            unjoined=_counted(self._unjoined),
            moved=_counted(self._moved),
            met=[name for name, _ in meetings],
        )
        arrays = {"joins": self._joins.words(), "loose": self._loose.words(), "waiting": self._waiting}
        arrays["untold"] = words_of(self._untold)
        arrays |= {f"met/{number}": each.words() for number, (_, each) in enumerate(meetings)}
        return checkpoint.write(state, arrays)

    @classmethod
    def load(cls, data: bytes) -> "Identities":
        """The state that `save` saved. Raises ValueError for one that another version saved."""
        state, arrays = checkpoint.read(data)
        identities = cls(state.partition, state.horizon)
        identities.offset, identities.catalog = state.offset, state.catalog
        identities._told, identities._untold = state.told, arrays["untold"].view(TOLD).copy()
        identities._sources = Sources.load(state.sources)
        identities._facts = Facts(f"identities/{state.partition}", state.facts)
        identities._pairs = state.pairs
        identities._joins = FirstJoins.load(arrays["joins"])
        identities._loose = LooseEvents.load(arrays["loose"])
        identities._waiting = arrays["waiting"].copy()
        identities._unjoined.update({(flag, run): number for flag, run, number in state.unjoined})
        identities._moved.update({(flag, run): number for flag, run, number in state.moved})
        identities._meetings = {name: Meetings.load(arrays[f"met/{number}"]) for number, name in enumerate(state.met)}
        return identities


def _counted(counts: dict[Name, int]) -> list[tuple[str, str, int]]:
    return [(*name, number) for name, number in sorted(counts.items())]


def _to_tell(events: Table, units: Words, bit: int = 0) -> Table:
    """Events as they are told of these units."""
    told = np.zeros(len(events), TOLD)
    for name in ("time", "id", "value", "what"):
        told[name] = events[name]
    told["unit"] = units
    told["what"] |= bit
    return told


_ROW = np.dtype((np.record, [(name, np.int64) for name in ("kind", "code", "unit", "time", "id", "value")]))


def _new(batch: pa.RecordBatch, header: Header, floors: Words, place: str) -> Table:
    """The rows that are not folded yet.

    Raises:
        NoMessageError: a row refers to what isn't there; the message is from another version, or broken.
    """
    columns: dict[str, NDArray[np.int64]] = {
        name: batch.column(name).to_numpy() for name in ("source", "offset", *(_ROW.names or ()))
    }
    kind, code = columns["kind"], columns["code"]
    pairs = 0 if isinstance(header.pairs, msgspec.UnsetType) else len(header.pairs)
    known = np.where(kind & RowKind.EXPOSURE, len(header.arms), np.where(kind & RowKind.JOIN, pairs, len(header.facts)))
    if (columns["source"] >= len(floors)).any() or (code >= known).any():
        raise NoMessageError(
            f"{place}: a row's source or code is not in the header; an assignment worker of another version may have "
            "sent it"
        )
    kept = columns["offset"] >= floors[columns["source"]]
    rows = np.zeros(int(kept.sum()), _ROW)
    for name in _ROW.names or ():
        its = columns[name][kept]
        rows[name] = its.view(np.int64) if its.dtype == np.uint64 else its
    return rows
