"""Look: one computation of an experiment's results. A record on `results`, keyed by flag/run; reproducible bytes."""

import builtins
from typing import Annotated, Literal

import msgspec

from schemas.catalog import Analysis
from schemas.fields import followed, says
from schemas.logs import Gap
from schemas.numbers import Count, Exact, Small, Time

RunKey = tuple[str, str]  # experiment, run

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
Adjusted = Literal["none", "CUPED", "strata", "CUPED and strata"]  # what is left out of units' numbers

SPLIT_ALPHA = 0.01  # the split is broken where its running p-value is below
MOST_UNUSABLE = 0.01  # share of an arm's events without a number that can be used, beyond which a metric says nothing

EARLIER = "of earlier looks where status is not ok"
_SO_FAR = f", by all looks so far; of a fixed-horizon test at the look with the planned units; {EARLIER}"


class CellSubject(msgspec.Struct, frozen=True):
    """What a cell is about, and how it is judged."""

    metric: Annotated[str, says("metric", "none", "Key of the metric.")]
    metric_version: Annotated[
        Count,
        says(
            "metric's version", "none", "Counts what the metric measured: running values start again with another one."
        ),
    ]
    variant: Annotated[str, says("variant", "none", "The variant that is compared with control.")]
    control: Annotated[str, says("control", "none", "The variant it is compared with.")]
    reading: Annotated[
        Reading,
        says(
            "reading",
            "none",
            "settled: units whose window is closed, on which verdicts rest; live: every unit so far, for watching.",
        ),
    ]
    segment: Annotated[
        str,
        says(
            "segment",
            "none",
            "The part of the units that is covered; all for every unit.",
            more="Else property=value of a breakdown.",
        ),
    ]
    method: Annotated[
        Method,
        says(
            "method",
            "none",
            "sequential, t-test or bayesian, as the experiment says; boschloo: of conversions, where t-tests are read; "
            "exact: of conversions alone, sequential, with a risk ratio.",
        ),
    ]
    alternative: Annotated[
        Alternative,
        says("alternative", "none", "What the p-value is evidence for, of the variant: two-sided, greater or less."),
    ]
    status: Annotated[
        Status,
        says(
            "status",
            "none",
            "ok; gated: too few exposures or non-zero units; no data: an arm is empty; zero variance; withheld: a "
            f"unit's total is too large; unusable: more than {100 * MOST_UNUSABLE:g} % of an arm's events hold no "
            "number.",
        ),
    ]
    judgement: Annotated[
        Judgement | None,
        says(
            "judgement",
            "none",
            "better, worse or open; of a guardrail safe (surely within its margin), harmed or open. Null: not judged.",
            more="Corrected for the number of comparisons. Better or worse: there is a difference; open: not decided.",
        ),
    ]
    caveat: Annotated[
        Caveat | None,
        says(
            "caveat",
            "none",
            "Why no guarantee is claimed: open windows, heavy tail (an uncapped sum on an unequal split). Null: it is.",
        ),
    ]


class CellSums(CellSubject, frozen=True):
    """What was added up, exactly. Of a ratio `sum` is that of the numerator."""

    n: Annotated[Count, followed("units", "units", "Units of the variant.")]
    nonzero: Annotated[Count, says("non-zero units", "units", "Units of the variant whose total is not zero.")]
    sum: Annotated[
        Exact,
        says("sum", "metric * 10^scale", "Exact sum of the variant's unit totals, quantised: divide by 10^scale."),
    ]
    sum_squares: Annotated[
        Exact,
        says(
            "sum of squares",
            "metric^2 * 10^(2 * scale)",
            "Exact sum of their squares, quantised: divide by 10^(2*scale).",
        ),
    ]
    control_n: Annotated[Count, followed("control's units", "units", "Units of control.")]
    control_nonzero: Annotated[
        Count, says("control's non-zero units", "units", "Units of control whose total is not zero.")
    ]
    control_sum: Annotated[
        Exact,
        says(
            "control's sum", "metric * 10^scale", "Exact sum of control's unit totals, quantised: divide by 10^scale."
        ),
    ]
    control_sum_squares: Annotated[
        Exact,
        says(
            "control's sum of squares",
            "metric^2 * 10^(2 * scale)",
            "Exact sum of their squares, quantised: divide by 10^(2*scale).",
        ),
    ]
    scale: Annotated[Small, says("decimal places", "none", "Decimal places that the sums keep.")]
    denominator_sum: Annotated[
        Exact | None,
        says(
            "denominator's sum",
            "metric * 10^scale",
            "Of a ratio, whose sum is that of its numerator: divide by 10^denominator_scale.",
        ),
    ] = None
    control_denominator_sum: Annotated[
        Exact | None, says("control's denominator's sum", "metric * 10^scale", "Of a ratio: the same of control.")
    ] = None
    denominator_scale: Annotated[
        Small | None,
        says("denominator's decimal places", "none", "Of a ratio: decimal places that the denominator's sum keeps."),
    ] = None


class Cell(CellSums, frozen=True):
    """One metric, one variant against control, one reading, one segment. Never NaN: null and a status.

    `lower`, `upper`, `p_value` and the relative ones are of this look, and `running_*` what all looks so far say
    together (intersection, smallest p), on which judgements rest and which every table calls the interval and the
    p-value. A fixed-horizon test's cell stays as it is at the first look with the planned units, by which alone it is
    read: later units are in none of its numbers. An end that a one-sided test leaves open is null; a guardrail's two
    ends are one-sided bounds.
    """

    mean: Annotated[
        float | None,
        says(
            "mean",
            "metric",
            "Mean of the variant's unit totals, in the metric's unit; of a percentile that percentile.",
        ),
    ] = None
    control_mean: Annotated[float | None, says("control's mean", "metric", "The same of control.")] = None
    estimate: Annotated[
        float | None,
        followed(
            "difference",
            "metric",
            "Difference of the means, variant minus control, in the metric's unit.",
            more="A difference of shares is one in percentage points (pp).",
        ),
    ] = None
    standard_error: Annotated[float | None, says("standard error", "metric", "Standard error of the estimate.")] = None
    lower: Annotated[
        float | None,
        followed(
            "lower end by this look", "metric", "Lower end of the interval of the difference, by this look alone."
        ),
    ] = None
    upper: Annotated[
        float | None,
        followed(
            "upper end by this look", "metric", "Upper end of the interval of the difference, by this look alone."
        ),
    ] = None
    p_value: Annotated[
        float | None,
        followed(
            "p by this look",
            "p-value",
            "p-value by this look alone; of a fixed-horizon test no result before it is read.",
        ),
    ] = None
    log_e: Annotated[
        float | None,
        says(
            "log of the e-value",
            "none",
            "Natural logarithm of the e-value by this look alone; null for a fixed-horizon test.",
        ),
    ] = None
    running_lower: Annotated[
        float | None,
        followed(
            "lower end", "metric", f"Lower end of the interval of the difference{_SO_FAR}; null where it is open."
        ),
    ] = None
    running_upper: Annotated[
        float | None,
        followed(
            "upper end", "metric", f"Upper end of the interval of the difference{_SO_FAR}; null where it is open."
        ),
    ] = None
    running_p_value: Annotated[
        float | None,
        followed(
            "p",
            "p-value",
            f"p-value of no difference (of a guardrail: of no harm){_SO_FAR}. Valid whenever you stop.",
        ),
    ] = None
    running_empty: Annotated[
        bool, says("effect has moved", "none", "The looks' intervals exclude each other: the effect has moved.")
    ] = False
    adjusted_p_value: Annotated[
        float | None,
        says(
            "adjusted p",
            "p-value",
            "The p-value corrected for the comparisons of its family; below the experiment's alpha it counts.",
        ),
    ] = None
    chance: Annotated[
        float | None,
        says(
            "chance",
            "probability",
            "Bayesian: chance that the variant beats control, in the direction of its goal.",
            more="Watching it all the time has no guarantee.",
        ),
    ] = None
    relative_estimate: Annotated[
        float | None,
        followed(
            "lift",
            "lift",
            "Relative lift of the variant over control; 0.02 is two per cent. Of method exact by conversions and "
            "weights.",
            more="+10% means 1.1 times as much. By conversions and weights it may differ from that of the means.",
        ),
    ] = None
    relative_lower: Annotated[
        float | None,
        followed(
            "lower end of the lift by this look",
            "lift",
            "Lower end of the relative lift's interval, by this look alone.",
        ),
    ] = None
    relative_upper: Annotated[
        float | None,
        followed(
            "upper end of the lift by this look",
            "lift",
            "Upper end of the relative lift's interval, by this look alone.",
        ),
    ] = None
    running_relative_lower: Annotated[
        float | None, followed("lower end of the lift", "lift", f"Lower end of the relative lift's interval{_SO_FAR}.")
    ] = None
    running_relative_upper: Annotated[
        float | None, followed("upper end of the lift", "lift", f"Upper end of the relative lift's interval{_SO_FAR}.")
    ] = None
    alpha: Annotated[
        float, says("alpha", "probability", "Error rate of the intervals, after division by the number of comparisons.")
    ] = 0.05
    planned_units: Annotated[
        Count | None,
        says(
            "planned units",
            "units",
            "Planned sample of variant and control together; null for a t-test without a plan.",
        ),
    ] = None
    since: Annotated[
        Time | None,
        says(
            "entered since",
            "ms UTC",
            "Only units that entered from then on: the metric came in mid-run. Null: all units.",
        ),
    ] = None
    unusable_share: Annotated[
        float | msgspec.UnsetType,
        says(
            "unusable share",
            "share",
            "Where status is unusable: the share of events that hold no number, of the arm that loses most.",
        ),
    ] = msgspec.UNSET
    example: Annotated[
        str | msgspec.UnsetType,
        says(
            "example", "none", "Where status is unusable: one of those values, as JSON; empty: the property is missing."
        ),
    ] = msgspec.UNSET
    adjusted: Annotated[
        Adjusted | msgspec.UnsetType,
        says(
            "left out",
            "none",
            "What the numbers leave out: none, CUPED, strata, CUPED and strata; absent: there is nothing to leave out.",
            more="CUPED: what units' past explains; strata: what the segments of a breakdown explain. The other "
            "numbers are the plain ones where something is left out, else those with CUPED. They decide nothing.",
        ),
    ] = msgspec.UNSET
    other_estimate: Annotated[
        float | msgspec.UnsetType | None,
        says(
            "other difference", "metric", "The difference the other way: plain where something is left out, else CUPED."
        ),
    ] = msgspec.UNSET
    other_standard_error: Annotated[
        float | msgspec.UnsetType | None, says("other standard error", "metric", "Standard error of other_estimate.")
    ] = msgspec.UNSET
    other_running_lower: Annotated[
        float | msgspec.UnsetType | None,
        says("other lower end", "metric", f"Lower end of the interval of other_estimate{_SO_FAR}."),
    ] = msgspec.UNSET
    other_running_upper: Annotated[
        float | msgspec.UnsetType | None,
        says("other upper end", "metric", f"Upper end of the interval of other_estimate{_SO_FAR}."),
    ] = msgspec.UNSET
    other_running_p_value: Annotated[
        float | msgspec.UnsetType | None,
        says("other p", "p-value", f"p-value of other_estimate{_SO_FAR}. It decides nothing."),
    ] = msgspec.UNSET
    other_relative_estimate: Annotated[
        float | msgspec.UnsetType | None, says("other lift", "lift", "Relative lift by other_estimate.")
    ] = msgspec.UNSET
    other_running_relative_lower: Annotated[
        float | msgspec.UnsetType | None,
        says("other lower end of the lift", "lift", f"Lower end of the interval of other_relative_estimate{_SO_FAR}."),
    ] = msgspec.UNSET
    other_running_relative_upper: Annotated[
        float | msgspec.UnsetType | None,
        says("other upper end of the lift", "lift", f"Upper end of the interval of other_relative_estimate{_SO_FAR}."),
    ] = msgspec.UNSET
    variance_left: Annotated[
        float | msgspec.UnsetType | None,
        says(
            "variance left",
            "share",
            "Share of the plain number's variance that is left once past or strata are taken out.",
            more="At 0.5 an experiment takes half of the units.",
        ),
    ] = msgspec.UNSET
    exploratory: Annotated[
        bool | msgspec.UnsetType,
        says(
            "exploratory",
            "none",
            "Chosen after the run's start and counted from the start on, so it decides nothing; absent: it was not.",
            more="The metric, or the breakdown that the segment is of, came by a recount.",
        ),
    ] = msgspec.UNSET
    planned: Annotated[
        Count | msgspec.UnsetType,
        says(
            "planned",
            "none",
            "Of what came by a recount: the version of the flag's document that had listed it before the start.",
            more="So it was not chosen for what it shows, and decides as any other; absent: it did not come so.",
        ),
    ] = msgspec.UNSET

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


# What a look says twice: by itself alone, and by all looks so far.
RUNNING = tuple(name for name in Cell.__struct_fields__ if f"running_{name}" in Cell.__struct_fields__)
OTHER = tuple(name for name in Cell.__struct_fields__ if name.startswith("other_"))


def unsaid(status: Status) -> tuple[str, ...]:
    """The fields of which a look with a cell of that status says nothing."""
    if status == "ok":
        return ()
    found = ("adjusted_p_value", *(f"running_{name}" for name in RUNNING))
    found += tuple(name for name in OTHER if name.startswith("other_running_"))
    return (*found, "estimate", "standard_error", "relative_estimate", *OTHER) if status in UNKNOWN else found


class ArmHealth(msgspec.Struct, frozen=True):
    """Units of one variant, and the share that the weights promise."""

    variant: Annotated[str, says("variant", "none", "Key of the variant.")]
    units: Annotated[
        Count,
        says("units", "units", "Units in the run, jumpers withdrawn.", more="They are randomised: users, devices, …"),
    ]
    expected_share: Annotated[float, says("promised", "share", "The share that the weights promise.")]


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


DataFaultKind = Literal[
    "no exposures",  # none has come since the start
    "exposures stopped",  # by the run's own rate
    "older run",  # exposures of the flag name another run than the open one
    "event never came",  # of a metric, since the start
    "event stopped",  # of a metric, by the event's own rate
]
WITHOUT_ENTRIES: tuple[DataFaultKind, ...] = ("no exposures", "exposures stopped")


class DataFault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a look should rest on does not come, or names something else. `says` is a sentence's part.

    `since`: the last one came then (ms UTC), or none since. `count`: how many name an older `run`; else how many units
    there are. `near` are names of events that do come and differ from `event` in few letters.
    """

    kind: DataFaultKind
    says: str
    metric: str | msgspec.UnsetType = msgspec.UNSET
    event: str | msgspec.UnsetType = msgspec.UNSET
    run: str | msgspec.UnsetType = msgspec.UNSET
    since: Time | msgspec.UnsetType = msgspec.UNSET
    count: Count | msgspec.UnsetType = msgspec.UNSET
    near: list[str] = []


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Can the look be believed?

    What is said of events concerns those in the windows of units that have entered, told once for each metric.
    """

    arms: Annotated[list[ArmHealth], says("arms", "none", "Units of each variant.")]
    srm_p_value: Annotated[
        float | None, says("split by this look", "p-value", "Sample-ratio mismatch: p-value of that look.")
    ] = None
    srm_running_p_value: Annotated[
        float | None,
        says(
            "split",
            "p-value",
            f"Smallest of all looks; below {SPLIT_ALPHA} the assignment is broken.",
            more="Sample-ratio mismatch: do arms have the shares of units that the weights promise? Where they have "
            "not, no number can be trusted until the cause is found.",
        ),
    ] = None
    exposures: Annotated[
        Count,
        says(
            "exposures",
            "exposures",
            "Exposure records counted, repeats included.",
            more="A unit enters the run with its first.",
        ),
    ] = 0
    jumpers: Annotated[
        Count, says("jumpers", "units", "Units that met two variants of one allocation and were withdrawn.")
    ] = 0
    reassigned: Annotated[
        Count,
        says("reassigned", "units", "Units that met another variant after the allocation had changed; they stay."),
    ] = 0
    forced: Annotated[
        Count,
        says(
            "forced",
            "exposures",
            "Exposures of units that an inclusion forced; not counted.",
            more="They are not randomised.",
        ),
    ] = 0
    inactive: Annotated[
        Count,
        says(
            "inactive",
            "exposures",
            "Exposures of a time when the run took no entries: before its start, say; not counted.",
        ),
    ] = 0
    late_exposures: Annotated[
        Count,
        says(
            "late exposures",
            "exposures",
            "Exposures beyond the lateness horizon; not counted.",
            more="They came more than the horizon after their own time.",
        ),
    ] = 0
    counted_events: Annotated[
        Count,
        says(
            "counted events",
            "events",
            "Events that count, told once for each metric that counts them.",
            more="They are of units of the run, after their entry, within the metric's window.",
        ),
    ] = 0
    duplicate_events: Annotated[
        Count,
        says(
            "duplicates",
            "events",
            "Events of its units that were there already, told once for each metric; not counted again.",
            more="They have the same unit, insert id and time: of several values the largest counts.",
        ),
    ] = 0
    late_events: Annotated[
        Count,
        says(
            "late events",
            "events",
            "Events of its units beyond the lateness horizon, told once for each metric; not counted.",
            more="They came more than the horizon after their own time.",
        ),
    ] = 0
    unusable_events: Annotated[
        Count,
        says(
            "unusable",
            "events",
            "Events of its units whose property is missing or no number, told once for each metric; not counted.",
            more=f"A metric that loses more than {100 * MOST_UNUSABLE:g} % of an arm's events says nothing.",
        ),
    ] = 0
    withheld_units: Annotated[
        Count,
        says(
            "withheld",
            "units",
            "Units whose total left the exact range, told once for each metric.",
            more="They are left out.",
        ),
    ] = 0
    duplicate_ids: Annotated[
        Count,
        says(
            "reused ids",
            "ids",
            "Its units' insert ids with another time in the same minute, or with several values.",
            more="See how producers make their ids.",
        ),
    ] = 0
    crowded_units: Annotated[
        Count | msgspec.UnsetType,
        says(
            "crowded",
            "units",
            "Units with more events in an hour than a funnel or retention reads; once for each metric; absent: none.",
        ),
    ] = msgspec.UNSET
    unjoined_events: Annotated[
        Count | msgspec.UnsetType,
        says(
            "unjoined",
            "events",
            "Events of people that count for no unit, told once for each fact that they feed; absent: no identity.",
            more="They name the identity and no unit, and none was seen with them in time.",
        ),
    ] = msgspec.UNSET
    waiting_events: Annotated[
        Count | msgspec.UnsetType,
        says(
            "waiting",
            "events",
            "Events of people that wait for a unit, told once for each fact that they feed; absent: no identity.",
            more="It is to be seen with them. They wait for two allowed latenesses at most.",
        ),
    ] = msgspec.UNSET
    moved_events: Annotated[
        Count | msgspec.UnsetType,
        says(
            "moved",
            "events",
            "Events of people that another unit got, told once for each fact that they feed; absent: no identity.",
            more="They were taken from the former: an earlier moment became known at which they were seen with a unit.",
        ),
    ] = msgspec.UNSET
    crossed_people: Annotated[
        Count | msgspec.UnsetType,
        says(
            "crossed",
            "people",
            "People who met two variants through different units, of those whom exposures name; absent: no identity.",
            more="Both variants are of one allocation. Exposures that name the unit alone tell of nobody: of people "
            "who were joined otherwise it is not known. Their units stay: logging in may depend on the variant. It "
            "blurs the arms' difference.",
        ),
    ] = msgspec.UNSET
    full_lookback: Annotated[
        float | msgspec.UnsetType,
        says(
            "full lookback",
            "share",
            "Share of units with events of a whole lookback; absent: no metric has one.",
            more="Their events were kept for the whole lookback before their entry, over the metrics that have one. Of "
            "the others CUPED knows less, and narrows intervals less.",
        ),
    ] = msgspec.UNSET
    gaps: Annotated[
        list[Gap] | msgspec.UnsetType,
        says("gaps", "none", "Records that no stage got, as somebody accepted; absent: none."),
    ] = msgspec.UNSET
    losses: Annotated[
        list[Loss] | msgspec.UnsetType,
        says("losses", "none", "What metrics lose of their events' values; absent: nothing."),
    ] = msgspec.UNSET
    data: Annotated[
        list[DataFault] | msgspec.UnsetType,
        says(
            "data",
            "none",
            "What does not come as it should; absent: nothing.",
            more="Exposures, or a metric's events, that never came or stopped; exposures that name an older run.",
        ),
    ] = msgspec.UNSET


Offsets = dict[Annotated[str, msgspec.Meta(pattern="^[0-9]{1,9}$")], Count]  # by partition
Prediction = Literal["hit", "missed", "open"]  # of the hypothesis, by the primary metric
Decision = Literal["ship", "roll back", "keep running", "needs attention", "none"]


ArmDecision = Literal["ship", "drop", "keep running", "none"]


class ArmVerdict(msgspec.Struct, frozen=True):
    """What should become of one treatment, and why."""

    variant: Annotated[str, says("variant", "none", "Key of the variant.")]
    decision: Annotated[
        ArmDecision,
        says("decision", "none", "Of a treatment: ship, drop, keep running or none."),
    ]
    reason: Annotated[str, says("reason", "none", "Why, in a sentence that names the numbers.")]


class Verdict(msgspec.Struct, frozen=True):
    """What a person should do, and why.

    `arms` holds the treatments, where there are several and the numbers can be believed: one ships once it has won,
    whatever becomes of the others; all go back once none of them may go on.
    """

    decision: Annotated[Decision, says("decision", "none", "ship, roll back, keep running, needs attention or none.")]
    reason: Annotated[str, says("reason", "none", "Why, in a sentence that names the numbers.")]
    prediction: Annotated[
        Prediction | None,
        says(
            "prediction",
            "none",
            "hit, missed or open: the primary lift against the goal's minimum effect.",
            more="It rests on the running interval of the primary metric.",
        ),
    ] = None
    days_left: Annotated[
        float | None,
        says(
            "days left",
            "days",
            "How long a decision may still take at the present pace, as it looks now; 40: or longer.",
            more="It goes by the effect that is estimated now, so it moves: from look to look by a third at most.",
        ),
    ] = None
    days_if_predicted: Annotated[
        float | msgspec.UnsetType,
        says(
            "days left if predicted",
            "days",
            "The same if the effect is the goal's minimum effect; 40: or longer; absent: nobody predicted one.",
        ),
    ] = msgspec.UNSET
    excluded: Annotated[
        float | msgspec.UnsetType,
        says(
            "excluded",
            "lift",
            "Effects of this size or more, up or down, are excluded already; absent: none is, or one is found.",
            more="It says how much nothing to see is worth, as in an A/A test.",
        ),
    ] = msgspec.UNSET
    arms: Annotated[
        list[ArmVerdict] | msgspec.UnsetType,
        says("treatments", "none", "What should become of each treatment; absent: there is one."),
    ] = msgspec.UNSET


class Origin(msgspec.Struct, frozen=True):
    """The cluster, and the log of `units` on it, to which a look's offsets belong."""

    cluster: str
    units: str


# Grows whenever a look at the same log would say something else. Since 2 health tells of own units alone; since 3 looks
# tell what does not come, and the time left goes on from the last look; since 4 which of several arms can be the best,
# and cells tell numbers the other way too, plain or with CUPED.
RULES = 4


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of several, by a primary metric: whether it can still be the best."""

    metric: Annotated[str, says("metric", "none", "Key of the primary metric.")]
    variant: Annotated[str, says("variant", "none", "Key of the variant; control is one.")]
    chance: Annotated[
        float | None,
        says(
            "chance to be best",
            "probability",
            "That its mean is the best of all arms', by this look alone (Bayesian). Null: too little data.",
            more="Watching it has no guarantee.",
        ),
    ] = None
    beaten_by: Annotated[
        str | None,
        says(
            "beaten by",
            "none",
            "The arm that is sure to be better, by all looks so far. Null: it may be the best.",
            more="The chance that the best arm is ever called beaten is at most alpha, however often one looks.",
        ),
    ] = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What all metrics of a run say at one moment.

    Every reader takes a look whose number is higher than that of the last one it took: the first of several with one
    number, should two workers ever have decided about one run, and the next that compaction has left.
    """

    experiment: Annotated[str, says("experiment", "none", "Key of the experiment.")]
    run: Annotated[
        str,
        says(
            "run",
            "none",
            "Key of the run; a restart makes a new one.",
            more="It is what lies between a start and its end, with a split and results of its own.",
        ),
    ]
    look: Annotated[
        Count,
        says(
            "look",
            "none",
            "Number of the look within its run: 1, 2, 3, …",
            more="A look is one computation of the results, and can be made again to the last bit.",
        ),
    ]
    revision: Annotated[
        Count,
        says(
            "revision",
            "none",
            "Counts restatements of the run.",
            more="A metric was redefined, or is judged in another way, or the run was recounted.",
        ),
    ]
    rules: Annotated[
        Count | msgspec.UnsetType,
        says(
            "rules",
            "none",
            "Counts the changes of what looks say of one log; absent: the first.",
            more="Their own version makes those of other rules again.",
        ),
    ] = msgspec.UNSET
    time: Annotated[
        Time,
        says(
            "as of",
            "ms UTC",
            "Everything appended before it is covered: the smallest watermark of the partitions; 0 until each has one.",
        ),
    ]
    catalog_version: Annotated[
        Count,
        says(
            "catalog version",
            "none",
            "Offset in the catalog topic whose documents were in force.",
            more="They define flags, experiments and metrics.",
        ),
    ]
    offsets: Annotated[
        Offsets,
        says("offsets", "none", "By partition of units: the look covers every record before it."),
    ]
    logs: Annotated[
        Origin | msgspec.UnsetType,
        says("logs", "none", "To which the offsets belong; absent: it is not the first look of its run."),
    ] = msgspec.UNSET
    health: Annotated[Health, says("health", "none", "Can the look be believed?")]
    analysis: Annotated[
        Analysis,
        says(
            "analysis",
            "none",
            "The settings in force.",
            more="Alpha bounds false discoveries, guardrail alpha the false alarms of each guardrail; the correction "
            "says how several comparisons share it. Where they differ from the last look's, running values start anew.",
        ),
    ] = Analysis()
    verdict: Annotated[Verdict, says("verdict", "none", "What a person should do, and why.")]
    final: Annotated[bool, says("final", "none", "The run is over and settled: no look follows.")] = False
    cells: Annotated[list[Cell], says("cells", "none", "Every comparison.")]
    best: Annotated[
        list[Contender] | msgspec.UnsetType,
        says("best", "none", "Which arm can be the best, by each primary metric; absent: there are two arms."),
    ] = msgspec.UNSET
    generation: Annotated[
        Count | msgspec.UnsetType,
        says(
            "generation",
            "none",
            "Offset in the catalog topic of the recount by which the run was counted again; absent: it was not.",
            more="What was appended before that version applied was read from the archive.",
        ),
    ] = msgspec.UNSET


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
    generation: Count = 0


TOLD: tuple[type[msgspec.Struct], ...] = (
    Look,
    Cell,
    Health,
    ArmHealth,
    Verdict,
    ArmVerdict,
    Contender,
)  # field by field
