"""Entries: what exposures, and events that stand in for exposures, have in common: arms and segments."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.contexts import answers_of
from evaluation.assignment.joins import meeting_rows
from evaluation.assignment.messages import Stretch, UnitRows, bits, properties
from evaluation.assignment.plan import Entry, EventPlan
from evaluation.assignment.properties import satisfied
from evaluation.catalog.in_force import RunInForce
from evaluation.columns.arrays import Mask
from evaluation.columns.scanning import Wanted
from evaluation.flags.compiled import Reason
from evaluation.flags.conditions import NONE
from evaluation.flags.paths import property_path
from evaluation.flags.values import text_of
from schemas.catalog import Breakdown
from schemas.units import SEGMENT_BITS, Arm, RowKind

RANDOM: tuple[Reason, ...] = ("segment", "sticky")  # why a unit gets a variant with which it is counted


def arm_code(run: RunInForce, allocation: int, variant: str, stretch: Stretch) -> int:
    """The code by which the rows of the stretch name an arm."""
    return stretch.arms.setdefault(Arm(run.flag, run.told, allocation, variant), len(stretch.arms))


def segments(
    columns: MessageColumns, wanted: Wanted, breakdowns: Sequence[Breakdown], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The segments of these messages' units in the bits of one number each, see `SEGMENT_BITS`."""
    found = np.zeros(len(rows), np.int64)
    for place, breakdown in enumerate(breakdowns):
        path = property_path(breakdown.property)
        codes, values = properties(columns, wanted, [path], rows)[path].distinct
        listed: dict[str | None, int] = {value: index + 1 for index, value in enumerate(breakdown.values)}
        texts = [NONE if value is None else text_of(value) for value in values]
        found |= np.array([listed.get(text, 0) for text in texts], np.int64)[codes] << (SEGMENT_BITS * place)
    return found


def entry_rows(  # noqa: PLR0917
    columns: MessageColumns,
    plan: EventPlan,
    entry: Entry,
    stretch: Stretch,
    time: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    carried: Mask,
    ids: NDArray[np.uint64],
    could_enter: Mask,
    kind: NDArray[np.uint8],
) -> UnitRows:
    """One row for each event that stands in for an exposure of the run and whose unit gets a variant.

    Args:
        time, ids: of every message.
        hashes, carried: by type and message.
        could_enter: which messages are usable events of the name, with a unit.
        kind: bits that the rows of a message have.
    """
    rows = np.flatnonzero(could_enter)
    found = properties(columns, plan.wanted, {path for path, _ in entry.where}, rows)
    rows = rows[satisfied(entry.where, found, len(rows))]
    run = entry.run
    given = answers_of(entry.flags, run.flag, columns, plan.wanted, rows, plan.cohorts)
    met = np.array([each.reason in {*RANDOM, "inclusion"} for each in given.outcomes])[given.codes]
    forced = np.array([each.reason == "inclusion" for each in given.outcomes])[given.codes[met]]
    rows, codes = rows[met], given.codes[met]
    arms = np.zeros(len(given.outcomes), np.uint16)
    for code in np.unique(codes).tolist():
        arms[code] = arm_code(run, len(run.allocations) - 1, given.outcomes[code].key, stretch)
    early = time[rows] < run.started  # what it shows happened before the run
    stretch.count("entries", len(rows))
    stretch.count("inactive", int(early.sum()))
    entered = UnitRows(
        offset=stretch.records.offset[columns.row[rows]],
        kind=kind[rows] | bits((forced, RowKind.FORCED), (early, RowKind.INACTIVE)) | np.uint8(RowKind.EXPOSURE),
        code=arms[codes],
        unit=hashes[entry.unit_type, rows],
        time=time[rows],
        id=ids[rows],
        value=(stretch.segments or segments)(columns, plan.wanted, run.definition.breakdowns, rows),
    )
    if run.definition.identity:
        identity = plan.unit_types.index(run.definition.identity)
        meeting_rows(entered, hashes[identity, rows], carried[identity, rows], stretch)
    return entered
