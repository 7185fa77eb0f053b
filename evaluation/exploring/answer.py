"""Answer: what a run says to a question, slice by slice, and what of that is more than chance."""

from typing import Literal

import msgspec

from schemas.catalog import Analysis
from schemas.look import Cell, Health

Correction = Literal["bonferroni", "holm", "benjamini-hochberg", "none"]


class ExploredCell(msgspec.Struct, frozen=True, kw_only=True):
    """One metric and treatment in one slice: `by` and `slice` go together, both are empty for everyone.

    With `is_of_events` the slice is one of the metric's events, and the units are everyone. `cell` is what a look has,
    its intervals at the family's level; `adjusted_p_value` is its p-value, corrected over the family.
    """

    metric: str  # a key of the catalog, or the words that were asked
    by: tuple[str, ...] = ()
    slice: tuple[str, ...] = ()
    is_of_events: bool = False
    adjusted_p_value: float | None = None
    cell: Cell


class SliceDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a metric's effect differs between the slices of a breakdown, by Cochran's Q over those with an interval.

    `p_value` is for one look; the adjusted one is Holm's, over all such tests of the answer.
    """

    metric: str
    variant: str
    by: tuple[str, ...]
    slices: int
    statistic: float
    p_value: float
    adjusted_p_value: float


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """All comparisons that were asked for at once, and how they share `alpha`: each interval has the level `level`."""

    comparisons: int
    correction: Correction
    alpha: float
    level: float


class SplitArm(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's units in a slice, and how many the weights promise of those that are there."""

    variant: str
    units: int
    promised: float


class SplitCause(msgspec.Struct, frozen=True, kw_only=True):
    """A slice whose units are not split as promised. Without it the rest has `rest_p_value`.

    `variant` is the one that is off most, by `missing` units (negative: it has too many) for what the others have.
    """

    by: tuple[str, ...]
    slice: tuple[str, ...]
    arms: list[SplitArm]
    variant: str
    missing: float
    p_value: float
    adjusted_p_value: float
    rest_p_value: float


class SplitSearch(msgspec.Struct, frozen=True, kw_only=True):
    """Which slices explain a broken split, the most telling first: of `tested` ones in `properties`; none: chance may.

    `p_value` is that of all units. All are for one look, the adjusted ones Holm's over all that were tested.
    """

    properties: list[tuple[str, ...]]
    tested: int
    p_value: float
    causes: list[SplitCause]
    says: str


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says to a question, as of `as_of` (append time, ms UTC).

    `units` have entered and meet the conditions; `events` were read, of which the metrics counted `counted`. `notes`
    say what else a reader should know.
    """

    experiment: str
    run: str
    as_of: int
    units: int
    read: int
    counted: int
    analysis: Analysis
    family: Family | None
    cells: list[ExploredCell]
    differences: list[SliceDifference]
    split: SplitSearch | None
    health: Health
    notes: list[str]
