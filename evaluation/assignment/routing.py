"""Routing: what the records of a slice say about units, as rows for the aggregation stage.

The stage's whole question. Every rule looks at one message, its append time and the catalog state that this time
selects, so a record makes the same rows in whatever slice it stands.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.coming import came, came_loose
from evaluation.assignment.dead_letters import DeadLetters, origins_of
from evaluation.assignment.decoding import decode
from evaluation.assignment.events import event_rows
from evaluation.assignment.exposures import exposure_rows
from evaluation.assignment.foreign import foreign_columns
from evaluation.assignment.joins import IdentityRows
from evaluation.assignment.messages import Segments, Stretch, UnitRows
from evaluation.assignment.plan import EventPlan, ExposurePlan, event_plan, exposure_plan
from evaluation.assignment.portions import Portion, travelling
from evaluation.assignment.tasks import TOPICS, Task, foreign_rows, tasks_of
from evaluation.catalog.history import History
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.reading import counted_as
from evaluation.columns.names import Names
from evaluation.columns.scanning import Wanted
from schemas.assignment import Assignment
from schemas.dead_letter import DeadLetter
from schemas.pair import Pair, loose
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import EVENTS, EXPOSURES
from schemas.units import Arm, CameKind, Example, newest
from schemas.writer_schema import NO_SCHEMAS, Schemas

Plan = TypeVar("Plan", EventPlan, ExposurePlan)


@dataclass(frozen=True, slots=True)
class Assigned(UnitRows):
    """What a stretch of records says under one catalog state: rows, answers, dead letters.

    `code` indexes `arms` (exposures) or `facts` (events). `identities` are the rows for the topic of this name, of the
    same records. `examples` are of what is wrong with values; `came` says what
    came in which minute (see schemas.units.Came).
    """

    catalog: int  # offset of the state; 0 where no record stands in the stretch
    begin: int  # covers source offsets in [begin, end)
    end: int
    watermark: int  # largest append time reached (ms UTC); 0: no record
    arms: list[Arm]
    facts: list[str]
    answers: list[Assignment]
    rejects: list[DeadLetter]
    rejected: list[int]  # when (ms UTC) the record of each was appended
    messages: dict[str, list[MessageColumns]]  # that could be read, whatever becomes of them, by topic of ours
    known: dict[str, Names]  # of EVENTS the names that something counts, of EXPOSURES the flags
    counts: dict[str, int]
    examples: list[Example]
    came: frozenset[tuple[CameKind, str, int]]
    identities: IdentityRows

    def pieces(self, rows: int) -> "Iterator[Assigned]":
        """The stretch in pieces of whole records, of at most `rows` rows of both kinds or of one record.

        Only the last has the watermark and what came. Answers, dead letters and counts stay those of the whole stretch.
        """
        offset = self.offset
        if len(self.identities.offset):
            offset = np.sort(np.concatenate([offset, self.identities.offset]))
        at, ends = 0, []
        while len(offset) - at > rows and offset[at] < offset[-1]:
            fitting = int(np.searchsorted(offset, offset[at + rows]))
            record = int(np.searchsorted(offset, offset[at], side="right"))
            at = max(fitting, record)
            ends.append(int(offset[at]))
        for begin, end in pairwise([self.begin, *ends, self.end]):
            is_last = end == self.end
            yield replace(
                self,
                **self.between(begin, end),
                identities=replace(self.identities, **self.identities.between(begin, end)),
                begin=begin,
                end=end,
                watermark=self.watermark if is_last else 0,
                came=self.came if is_last else frozenset(),
            )


def partition_of(unit: NDArray[np.uint64], partitions: int) -> NDArray[np.int64]:
    """The `units` partition of every unit: floor(h · partitions / 2^32) of the hash's upper half h.

    Fixed for the life of an installation. The lower bits are left to the hash table of the partition's unit store.
    """
    return (((unit >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64)


def assign(  # noqa: PLR0917
    records: Records,
    history: History,
    horizon: int,
    tolerance: int,
    schemas: Schemas = NO_SCHEMAS,
    segments: Segments | None = None,
) -> list[Assigned]:
    """What the slice says: one `Assigned` for each stretch of records to which one catalog state applies.

    Args:
        records: a slice of `exposures`, of `events`, or of the topic of a source.
        history: the catalog, read at least up to an end that was asked for after the slice was fetched.
        horizon: a message that is appended more than this (ms) after it happened is late.
        tolerance: a message may lie this much (ms) ahead of its append time.
        schemas: those that are `named_by` the records, for any of the history's `registered` sources.
        segments: what says of entries what their units were, where somebody asks for more than breakdowns.
    """
    n = len(records)
    if n == 0:
        nothing = Stretch(records, range(0), records.append_time, horizon, tolerance, DeadLetters(records))
        return [_assigned(nothing, Catalog(), records.begin, records.end)] if records.begin < records.end else []
    states = np.full(n, history.index_at(int(records.append_time.max())))
    if history.index_at(int(records.append_time.min())) != states[0]:
        states = np.maximum(np.searchsorted(history.boundaries, records.append_time, side="right") - 1, 0)
    cuts = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), n]
    judged, origins = records.append_time, origins_of(records)
    if origins:
        judged = judged.copy()
        judged[[*origins]] = [origin.append_time for origin in origins.values()]
    stretches = []
    for first, stop in pairwise(cuts):
        begin = records.begin if first == 0 else int(records.offset[first])
        end = records.end if stop == n else int(records.offset[stop])
        stretch = Stretch(
            records, range(first, stop), judged, horizon, tolerance, DeadLetters(records), schemas, origins
        )
        stretch.segments = segments
        tasks = tasks_of(stretch, history, int(states[first]))
        stretches.append(_assigned(stretch, history.states[int(states[first])], begin, end, tasks))
    return stretches


def read_by(  # noqa: PLR0917
    source: ForeignSource, records: Records, catalog: Catalog, horizon: int, tolerance: int, schemas: Schemas
) -> Assigned:
    """What a slice says if this source alone reads it, under this state of the catalog. See `assign` for the rest."""
    rows = range(len(records))
    stretch = Stretch(records, rows, records.append_time, horizon, tolerance, DeadLetters(records), schemas)
    return _assigned(stretch, catalog, records.begin, records.end, [Task(source, np.arange(len(records)))])


def _assigned(stretch: Stretch, catalog: Catalog, begin: int, end: int, tasks: Sequence[Task] = ()) -> Assigned:
    records, rows = stretch.records, stretch.rows
    facts: list[str] = []
    pairs: tuple[Pair, ...] = ()
    portions: list[Portion] = []
    messages: dict[str, list[MessageColumns]] = {}
    known: dict[str, Names] = {}
    if records.topic == EXPOSURES or any(task.source.makes == "exposure" for task in tasks):
        exposures = exposure_plan(catalog)
        messages[EXPOSURES] = _messages(stretch, EXPOSURES, exposures.wanted, tasks)
        portions += [_portion(columns, exposure_rows, exposures, stretch) for columns in messages[EXPOSURES]]
        known[EXPOSURES], pairs = exposures.flags, exposures.pairs
    if records.topic == EVENTS or any(task.source.makes == "event" for task in tasks):
        events = event_plan(catalog, stretch.horizon)
        facts = [fact.key for fact in events.facts]
        messages[EVENTS] = _messages(stretch, EVENTS, events.wanted, tasks)
        portions += [_portion(columns, event_rows, events, stretch) for columns in messages[EVENTS]]
        known[EVENTS], pairs = events.events, events.pairs
    portions = travelling(portions, stretch)
    joined, told = UnitRows.join([each.rows for each in portions]), UnitRows.join([each.told for each in portions])
    for each in portions:
        if each.columns.source is not None:
            usable = ~stretch.dead_letters.refused(each.columns)
            stretch.count(counted_as(each.columns.source, "taken"), int(usable.sum()))
    identities = IdentityRows(
        **told.columns(), pairs=list(pairs), facts=[loose(fact, pair) for pair in pairs for fact in facts]
    )
    rejects = stretch.dead_letters.in_order()
    counts = stretch.counts | {"records": len(rows), "rows": len(joined.offset), "dead letters": len(rejects)}
    return Assigned(
        **joined.columns(),
        catalog=catalog.offset,
        begin=begin,
        end=end,
        watermark=int(records.append_time[rows.start : rows.stop].max()) if rows else 0,
        arms=list(stretch.arms),
        facts=facts,
        answers=[answer for _, _, answer in sorted(stretch.answers, key=lambda each: each[:2])],
        rejects=rejects,
        rejected=stretch.dead_letters.times(),
        messages=messages,
        known=known,
        counts=counts,
        examples=newest(stretch.examples),
        came=came(joined, list(stretch.arms), facts, stretch) | came_loose(told, facts, stretch),
        identities=identities,
    )


def _portion(
    columns: MessageColumns, rows_of: Callable[[MessageColumns, Plan, Stretch], UnitRows], plan: Plan, stretch: Stretch
) -> Portion:
    rows = rows_of(columns, plan, stretch)
    told, stretch.identities = stretch.identities, []
    return Portion(columns, rows, UnitRows.join(told))


def _messages(stretch: Stretch, topic: str, wanted: Wanted, tasks: Sequence[Task]) -> list[MessageColumns]:
    """The messages of a topic of ours, or of its kind, that can be read."""
    records, dead_letters = stretch.records, stretch.dead_letters
    found: list[MessageColumns] = []
    if records.topic == topic:
        found = decode(records, stretch.rows, wanted, dead_letters, but=foreign_rows(stretch))
    for task in tasks:
        if TOPICS[task.source.makes] == topic:
            counts: Counter[str] = Counter()
            made = foreign_columns(
                records, task.rows, task.source, wanted, dead_letters, counts, task.given, stretch.schemas
            )
            for what, number in counts.items():
                stretch.count(what, number)
                stretch.count(counted_as(task.source.key, what), number)
            found += made
    return found
