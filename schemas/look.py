"""Look: one computation of an experiment's results. A record on `results`, keyed by flag/run; reproducible bytes."""

import builtins
from typing import Annotated, Literal

import msgspec

from schemas.catalog import Analysis
from schemas.logs import Gap
from schemas.numbers import Count, Exact, Small, Time

EVERYONE = "all"  # the segment of every unit
Reading = Literal["settled", "live"]
Status = Literal[
    "ok",
    "gated",  # too few exposures or non-zero units for the approximation
    "no data",  # an arm is empty
    "zero variance",
    "withheld",  # a unit's total is beyond what can be added exactly
    "unusable",  # more than 1 % of an arm's events hold no number that can be used
]
UNTESTED: tuple[Status, ...] = ("gated", "no data")  # too early: a person looks at the live reading instead
UNKNOWN: tuple[Status, ...] = ("withheld", "unusable")  # what units are worth is not known, nor is any difference
Method = Literal[
    "sequential",
    "t-test",
    "bayesian",
    "exact",  # sequential, of conversions alone: its interval is that of the risk ratio
    "boschloo",  # of conversions in an experiment that is read by t-tests: exact while conversions are rare
]
FIXED = ("t-test", "boschloo")  # read once, at the first look with the planned units

Alternative = Literal["two-sided", "greater", "less"]  # what the p-value is evidence for: the treatment is …
Judgement = Literal[
    "better",
    "worse",
    "safe",  # a guardrail's loss is sure to be within its margin
    "harmed",
    "open",
]
Caveat = Literal[
    "open windows",  # units still grow, so the guarantee of always-valid results is not claimed
    "heavy tail",  # an uncapped sum on an unequal split: no normal approximation holds
]


class Cell(msgspec.Struct, frozen=True):
    """One metric, one variant against control, one reading, one segment. Never NaN: null and a status.

    `estimate` is treatment minus control in the metric's unit; `lower`, `upper` its interval at this look, and
    `running_*` what all looks so far say together (intersection, smallest p), on which judgements rest and which every
    table calls the interval and the p-value. A fixed-horizon test's cell stays as it is at the first look with the
    planned units, by which alone it is read: later units are in none of its numbers. `relative_*` is the relative lift;
    of an exact test that of conversions alone, by the planned split, which is not the means' own where units came in
    another proportion. An end that a one-sided test leaves open is null; a guardrail's two ends are one-sided bounds.
    """

    metric: str
    metric_version: Count  # counts what the metric measured: running values start again with another one
    variant: str
    control: str
    reading: Reading
    segment: str  # EVERYONE, or property=value of a breakdown
    method: Method
    alternative: Alternative
    status: Status
    judgement: Judgement | None  # null: nothing rests on this reading
    caveat: Caveat | None
    n: Count
    nonzero: Count
    sum: Exact  # of quantised unit totals: divide by 10^scale
    sum_squares: Exact
    control_n: Count
    control_nonzero: Count
    control_sum: Exact
    control_sum_squares: Exact
    scale: Small
    denominator_sum: Exact | None = None  # of a ratio, whose `sum` is that of its numerator: divide by 10^its scale
    control_denominator_sum: Exact | None = None
    denominator_scale: Small | None = None
    mean: float | None = None
    control_mean: float | None = None
    estimate: float | None = None
    standard_error: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    log_e: float | None = None
    running_lower: float | None = None
    running_upper: float | None = None
    running_p_value: float | None = None
    running_empty: bool = False  # the intervals of different looks exclude each other: the effect has moved
    adjusted_p_value: float | None = None  # the running p-value, corrected for the comparisons of its family
    chance: float | None = None  # Bayesian: that the treatment is better, in the direction of the goal
    relative_estimate: float | None = None
    relative_lower: float | None = None
    relative_upper: float | None = None
    running_relative_lower: float | None = None
    running_relative_upper: float | None = None
    alpha: float = 0.05  # of the interval
    planned_units: Count | None = None  # of treatment and control together
    since: Time | None = None  # only units that entered from then on, as the metric came in mid-run
    unusable_share: float | msgspec.UnsetType = msgspec.UNSET  # where `status` is unusable: of the arm that loses most
    example: str | msgspec.UnsetType = msgspec.UNSET  # one of their values as JSON; empty: it is missing

    @builtins.property
    def is_read(self) -> bool:
        """Whether a fixed-horizon test has been read: it says nothing else, however many units are to come."""
        return self.method in FIXED and self.running_p_value is not None

    def told(self) -> "Cell":
        """As tables tell it: by its status alone, where the look says nothing of it.

        Running values go on from earlier looks, lest a test is read twice; nobody should take them for news.
        """
        names = unsaid(self.status)
        return msgspec.structs.replace(self, **dict.fromkeys(names)) if names else self


def unsaid(status: Status) -> tuple[str, ...]:
    """The fields of which a look with a cell of that status says nothing."""
    if status == "ok":
        return ()
    ends = ("lower", "upper", "p_value", "relative_lower", "relative_upper")
    found = ("adjusted_p_value", *(f"running_{name}" for name in ends))
    return (*found, "estimate", "standard_error", "relative_estimate") if status in UNKNOWN else found


SPLIT_ALPHA = 0.01  # the split is broken where its running p-value is below
MOST_UNUSABLE = 0.01  # share of an arm's events without a number that can be used, beyond which a metric says nothing


class ArmHealth(msgspec.Struct, frozen=True):
    """Units of one variant, and the share that the weights promise."""

    variant: str
    units: Count
    expected_share: float


class ArmLoss(msgspec.Struct, frozen=True):
    """What a metric loses of one variant's events."""

    variant: str
    events: Count
    unusable: Count

    @property
    def share(self) -> float:
        """Of the events those that are unusable."""
        return self.unusable / max(1, self.events)


class Loss(msgspec.Struct, frozen=True):
    """What a metric loses of its events' values: `unusable` of `events` hold no number that can be used.

    A ratio has one for each part that loses some, of that part's events; `property` tells them apart. `arms` says the
    same by variant, control first: absent, as `property` is, where an earlier version counted.

    `example` is one of those values, empty where the property is missing; `rounded` a value with more decimal places
    than the `scale` that is kept, which rounding changes by more than a ten-thousandth; null where there is none. `of`
    is what is counted: of a table, units.
    """

    metric: str
    events: Count
    unusable: Count
    scale: Small
    example: str | None = None
    rounded: str | None = None
    property: str | msgspec.UnsetType = msgspec.UNSET
    arms: list[ArmLoss] | msgspec.UnsetType = msgspec.UNSET
    of: Literal["events", "units"] = "events"
    is_uneven: bool = False  # of a table: the arms lose different shares

    @builtins.property
    def share(self) -> float:
        """Of the events of the arm that loses most, or of all, those that are unusable."""
        return max((arm.share for arm in self.arms or ()), default=self.unusable / max(1, self.events))


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Can the look be believed?

    What is said of events concerns those in the windows of units that have entered, told once for each metric.
    `full_lookback` is the share of units whose events were kept for the whole lookback before their entry, over the
    metrics that have one; absent where none has, or nobody is covered. `gaps` are records that no stage got, as
    somebody accepted; `losses` what metrics lose of their events' values; `crowded_units` how many units, told once for
    each metric, sent more events in some hour than a funnel or retention reads; all are absent where there are none.
    """

    arms: list[ArmHealth]
    srm_p_value: float | None = None
    srm_running_p_value: float | None = None
    exposures: Count = 0
    jumpers: Count = 0
    reassigned: Count = 0
    forced: Count = 0
    inactive: Count = 0
    late_exposures: Count = 0
    counted_events: Count = 0
    duplicate_events: Count = 0
    late_events: Count = 0
    unusable_events: Count = 0
    withheld_units: Count = 0
    duplicate_ids: Count = 0
    crowded_units: Count | msgspec.UnsetType = msgspec.UNSET
    full_lookback: float | msgspec.UnsetType = msgspec.UNSET
    gaps: list[Gap] | msgspec.UnsetType = msgspec.UNSET
    losses: list[Loss] | msgspec.UnsetType = msgspec.UNSET


Offsets = dict[Annotated[str, msgspec.Meta(pattern="^[0-9]{1,9}$")], Count]  # by partition
Prediction = Literal["hit", "missed", "open"]  # of the hypothesis, by the primary metric
Decision = Literal["ship", "roll back", "keep running", "needs attention", "none"]


ArmDecision = Literal["ship", "drop", "keep running", "none"]


class ArmVerdict(msgspec.Struct, frozen=True):
    """What should become of one treatment, and why."""

    variant: str
    decision: ArmDecision
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """What a person should do, and why in one sentence that names the numbers.

    `prediction` compares the primary metric's lift with the goal's minimum effect. `days_left` is how long a decision
    may still take at the present pace, at most 40; null where nobody can say. `arms` holds the treatments, where there
    are several and the numbers can be believed: one ships once it has won, whatever becomes of the others; all go
    back once none of them may go on. Absent where there is one.
    """

    decision: Decision
    reason: str
    prediction: Prediction | None = None
    days_left: float | None = None
    arms: list[ArmVerdict] | msgspec.UnsetType = msgspec.UNSET


class Origin(msgspec.Struct, frozen=True):
    """The cluster, and the log of `units` on it, to which a look's offsets belong."""

    cluster: str
    units: str


RULES = 2  # grows whenever a look at the same log would say something else; since 2 health tells of own units alone


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Looks of a run are numbered 1, 2, 3, …; `time` is the smallest clock of the covered partitions (ms UTC).

    Every reader takes a look whose number is higher than that of the last one it took: the first of several with one
    number, should two workers ever have decided about one run, and the next that compaction has left.

    `analysis` holds the settings in force; where they differ from the last look's, running values start again.
    `rules` counts the changes of what looks say of one log; their own version makes those of other rules again.
    """

    experiment: str
    run: str
    look: Count
    revision: Count
    rules: Count | msgspec.UnsetType = msgspec.UNSET  # absent: the first
    time: Time
    catalog_version: Count
    offsets: Offsets  # units partition -> offset: the look covers every record before it
    logs: Origin | msgspec.UnsetType = msgspec.UNSET  # of a run's first look
    health: Health
    analysis: Analysis = Analysis()
    verdict: Verdict
    final: bool = False
    cells: list[Cell]


class LookHead(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a look from others, and from what is none: its cells are not decoded."""

    experiment: str
    run: str
    look: Count
    revision: Count
    time: Time
    catalog_version: Count
    offsets: Offsets
    health: msgspec.Raw
    verdict: msgspec.Raw
    final: bool = False
    cells: msgspec.Raw
