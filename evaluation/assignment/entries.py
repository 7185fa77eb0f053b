"""Entries: what exposures, and events that stand in for exposures, have in common: arms, segments and the split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.bucketing import Bucketing, choose
from evaluation.assignment.columns import Columns
from evaluation.assignment.conditions import NONE
from evaluation.assignment.messages import Mask, Rows, Stretch, bits, properties
from evaluation.assignment.plan import IDS, Entry, EventPlan, property_path, unit_path
from evaluation.assignment.properties import satisfied
from evaluation.assignment.scanning import Wanted
from evaluation.assignment.values import text_of
from evaluation.catalog import RunInForce
from schemas.catalog import Breakdown
from schemas.units import SEGMENT_BITS, Arm, Kind


def arm_code(run: RunInForce, allocation: int, variant: str, stretch: Stretch) -> int:
    """The code by which the rows of the stretch name an arm."""
    return stretch.arms.setdefault(Arm(run.flag, run.key, allocation, variant), len(stretch.arms))


def split(
    bucketing: Bucketing, columns: Columns, unit_type: str, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The variants' indices that these messages' units get by the split, and by inclusions, which come first."""
    users, devices = (columns.texts[name,].take(rows) for name in IDS)
    unit = columns.texts[unit_path(unit_type)].take(rows)
    return choose(bucketing, unit), bucketing.included(users, devices)


def segments(
    columns: Columns, wanted: Wanted, breakdowns: Sequence[Breakdown], rows: NDArray[np.int64]
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
    columns: Columns,
    plan: EventPlan,
    entry: Entry,
    stretch: Stretch,
    time: NDArray[np.int64],
    units: NDArray[np.uint64],
    ids: NDArray[np.uint64],
    could_enter: Mask,
    kind: NDArray[np.uint8],
) -> Rows:
    """One row for each event that stands in for an exposure of the run and whose unit gets a variant.

    Args:
        time, units, ids: of every message.
        could_enter: which messages are usable events of the name, with a unit.
        kind: bits that the rows of a message have.
    """
    rows = np.flatnonzero(could_enter)
    found = properties(columns, plan.wanted, {path for path, _ in entry.where}, rows)
    rows = rows[satisfied(entry.where, found, len(rows))]
    run, variants = entry.run, entry.bucketing.variants
    chosen, forced = split(entry.bucketing, columns, run.definition.unit, rows)
    variant = np.where(forced >= 0, forced, chosen)
    met = variant >= 0
    rows, variant, forced = rows[met], variant[met], forced[met]
    arms = np.zeros(len(variants), np.uint16)
    for index in np.unique(variant).tolist():
        arms[index] = arm_code(run, len(run.allocations) - 1, variants[index], stretch)
    stretch.count("entries", len(rows))
    return Rows(
        offset=stretch.records.offset[columns.row[rows]],
        kind=kind[rows] | bits((forced >= 0, Kind.FORCED)) | np.uint8(Kind.EXPOSURE),
        code=arms[variant],
        unit=units[rows],
        time=time[rows],
        id=ids[rows],
        value=segments(columns, plan.wanted, run.definition.breakdowns, rows),
    )
