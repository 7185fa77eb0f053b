"""Aggregate: what one units partition contributes to one run, as cumulative sums. A record on `aggregates`.

Newer (by `offset`) replaces older, so a repeat changes nothing. Key: `flag/run/partition`.
"""

from typing import Literal

import msgspec

from schemas.logs import Gap
from schemas.numbers import Count, Exact, Small, Time


class ArmCount(msgspec.Struct, frozen=True, array_like=True):
    """Units of one arm, jumpers withdrawn."""

    allocation: Count
    variant: str
    units: Count


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """How values are spread: of each bucket that has some how many it has (see evaluation.columns.buckets).

    `steps` are the buckets, ascending: the first one, then the distance from each to the next. Where values are those
    of events, a unit has several: with c of a unit's m values in a bucket and K below it, `squares` adds up
    c (2 K + c) over the units, which makes K^2 when it is added up over buckets, and `products` c m.
    """

    steps: list[int]
    values: list[Count]
    squares: list[Count] = []
    products: list[Count] = []


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """Exact sums over the units of one arm and segment of k quantised numbers per unit.

    k = 1: y, the unit's number. A ratio has k = 2: its numerator y and denominator d. A metric with CUPED has as many
    covariates again, in the same order: y, y0 or y, d, y0, d0. Every segment's units are listed once for each
    breakdown, so the sums over a breakdown's segments are those of `all`.
    """

    metric: str
    version: Count  # counts what the metric measured: another one is another column
    reading: str  # live, settled
    allocation: Count
    variant: str
    segment: str  # all, or property=value of a breakdown
    n: Count
    nonzero: Count  # units whose y is not 0
    first: list[Exact]  # k: sums of each number
    second: list[Exact]  # k(k+1)/2: sums of the products of each two, the upper triangle by rows: yy, yd, …, dd, …
    spread: Spread | None = None  # of a percentile


class ArmPart(msgspec.Struct, frozen=True, array_like=True):
    """Of one arm the events that count for a part of a metric, and those that hold no number for it."""

    allocation: Count
    variant: str
    events: Count
    unusable: Count


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What became of the values of a metric, or of a ratio's numerator or denominator.

    `arms` are those that have any: none, where nothing but events is counted. As in `events` and `unusable` of a metric
    jumpers are taken back of the former only; what they lost stays with the arm of their entry.
    """

    arms: list[ArmPart]
    example: str | None = None
    rounded: str | None = None
    of: Literal["events", "units"] = "events"  # what is counted: of a table, units that have a value


class MetricHealth(msgspec.Struct, frozen=True, array_like=True):
    """What became of one metric's events in this partition.

    All of it concerns events in the windows of the units that the metric covers. `events` are those of units that are
    still in the run; what is late, unusable or repeated is told of jumpers too. `example` is the newest value since the
    run's start that was unusable, empty where the property was missing; `rounded` the newest that rounding changed by
    more than a ten-thousandth: both of any unit that this worker's sources sent.
    """

    metric: str
    events: Count  # jumpers' are taken back
    duplicates: Count
    late: Count
    unusable: Count
    withheld: Count  # units of which a number has reached 2^62: in no sum and in no n
    looked_back: Count = 0  # units whose events were kept for the whole lookback before their entry
    example: str | None = None
    rounded: str | None = None
    parts: list[Part] = []  # of a metric that reads values: its own, of a ratio those of numerator and denominator
    crowded: Count = 0  # units that in some hour sent more events than a funnel or retention reads


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """That exposures (`fact` is empty) or events of a fact never came, or none has for ten minutes or more.

    `hourly`: how often they are to be expected to begin again within an hour, by the last one in which they came;
    `daily`: the same for as long as the silence has lasted, a day at most, by the same time of the `days` days before
    that are known (see evaluation.metrics.silences). `is_named`: events of this name do come; `near`: names of others
    that do.
    """

    fact: str
    last: Time = 0  # append time (ms UTC), to the minute; 0: never
    hourly: Small = 0
    daily: Small = 0
    days: Small = 0
    is_named: bool = False
    near: list[str] = []


class Stray(msgspec.Struct, frozen=True, array_like=True):
    """Exposures since the run's start that name another run of the flag; `last` is the newest one's time (ms UTC)."""

    run: str
    exposures: Count
    last: Time


class PeopleCounts(msgspec.Struct, frozen=True, array_like=True):
    """What became of people behind a run's units, over all partitions of `identities`: see schemas.units.Joining."""

    unjoined: Count
    waiting: Count
    moved: Count
    crossed: Count


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one run in one partition of `units`, after every record before `offset`."""

    flag: str
    run: str
    partition: Small
    offset: Count
    watermark: Time = msgspec.field(name="clock")  # the smallest append time that the partition's sources have reached
    catalog: Count  # the catalog offset in force
    arms: list[ArmCount]
    sums: list[Sums]
    metrics: list[MetricHealth]
    exposures: Count = 0  # records that were counted, repeats included
    late: Count = 0  # exposures
    inactive: Count = 0
    forced: Count = 0
    jumpers: Count = 0
    reassigned: Count = 0
    duplicate_ids: Count = 0  # events with the insert id of an earlier one of the minute, or told with several values
    gaps: list[Gap] = []  # what is missing of the partition's log and of its sources, as somebody accepted
    strays: list[Stray] = []
    silences: list[Silence] = []  # of a run that takes entries, where that is told: in one partition
    listened: Time = 0  # from when on (ms UTC) silences are told, 1: from the first record on; 0: not in this partition
    people: PeopleCounts | msgspec.UnsetType = msgspec.UNSET  # of a run with an identity, in one partition
    final: bool = False  # nothing can change it any more: `offset`, `watermark` and `catalog` stay those of that moment
    generation: Count = 0  # of the run: see schemas/recount.py


class AggregateHead(msgspec.Struct, frozen=True):
    """What tells an aggregate from others, and from what is none: its sums are not decoded."""

    flag: str
    run: str
    partition: Small
    offset: Count
    watermark: Time = msgspec.field(name="clock")
    catalog: Count
    arms: msgspec.Raw
    sums: msgspec.Raw
    metrics: msgspec.Raw
    generation: Count = 0
