"""Aggregate: what one units partition contributes to one run, as cumulative sums. A record on `aggregates`.

Newer (by `offset`) replaces older, so a repeat changes nothing. Key: `flag/run/partition`.
"""

import msgspec

Exact = int | str  # an integer; beyond 2^53 it travels as a decimal string


def exact(number: int) -> Exact:
    """The integer as it travels."""
    return number if abs(number) <= 1 << 53 else str(number)


class ArmCount(msgspec.Struct, frozen=True, array_like=True):
    """Units of one arm, jumpers withdrawn."""

    allocation: int
    variant: str
    units: int


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """Exact sums of one metric's unit totals in one arm: sum x^0, x^0 of non-zero x, x^1, x^2, of quantised totals."""

    metric: str
    version: int  # of the metric's document: another definition is another column
    reading: str  # live, settled
    allocation: int
    variant: str
    n: int
    nonzero: int
    sum: Exact
    sum_squares: Exact


class MetricHealth(msgspec.Struct, frozen=True, array_like=True):
    """What became of one metric's events in this partition.

    `events` belong to units of the run; the other counts are of all units, and of event times from the moment on from
    which the metric covers entries.
    """

    metric: str
    events: int  # that make up the live totals of the units that the metric covers; jumpers' events are taken back
    duplicates: int
    late: int
    unusable: int
    withheld: int  # units whose total has reached 2^47: in no sum and in no n


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one run in one partition of `units`, after every record before `offset`."""

    flag: str
    run: str
    partition: int
    offset: int
    clock: int  # ms UTC: the smallest append time that the partition's sources have reached
    catalog: int  # the catalog offset in force
    arms: list[ArmCount]
    sums: list[Sums]
    metrics: list[MetricHealth]
    exposures: int = 0  # records that were counted, repeats included
    late: int = 0  # exposures
    inactive: int = 0
    forced: int = 0
    jumpers: int = 0
    reassigned: int = 0
    duplicate_ids: int = 0  # events that follow one with their insert id within a minute: other events, worth a look
    final: bool = False  # nothing can change it any more
