"""Verdict: what a person should do with an experiment, and why, in one sentence that names the numbers.

It rests on the cells' judgements. A metric without a window never settles; its live reading stands in, and the sentence
says that the guarantee is not claimed for it.

The prediction of the hypothesis is the primary goal's minimum effect: hit when the whole interval of the lift is beyond
it, missed when none of it is. An improvement ships even if it misses the prediction, and says so; a treatment that
improves nothing and cannot reach what was predicted goes back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from evaluation.catalog.in_force import MetricInForce, RunInForce, control_of
from evaluation.significance.health import no_number, worst
from evaluation.significance.judgements import decides, is_deciding
from evaluation.significance.time_left import MOST_DAYS, NO_TIME, Pace, TimeLeft, time_left
from schemas.catalog import Goal
from schemas.look import (
    FIXED,
    SPLIT_ALPHA,
    WITHOUT_ENTRIES,
    ArmDecision,
    ArmVerdict,
    Caveat,
    Cell,
    Decision,
    Health,
    Judgement,
    Loss,
    Method,
    Prediction,
    Verdict,
)

JUMPERS = 0.05  # share of units that met two variants, beyond which the assignment itself is broken
JUMPERS_SEEN_IN = 100  # units, below which the share says nothing
BEYOND_PLAN = 1.01  # times the planned units, of which two readings hardly differ

ARRIVING = "see what arrives"
VERBS: dict[Judgement | None, str] = {"better": "improves", "worse": "harms", "harmed": "harms"}
OF_RATES: tuple[Method, ...] = ("exact", "boschloo")
ALL_LOST = -0.9995  # a lift that is written as -100.0%
TESTS: dict[Method, str] = {"exact": "exact ", "t-test": "t-test ", "boschloo": "Boschloo "}  # before a p-value
CAVEATS: dict[Caveat | None, str] = {
    None: "",
    "open windows": "its metric has no window, so the guarantee of always-valid results is not claimed",
    "heavy tail": "it is an uncapped sum on an unequal split, so no guarantee is claimed: give the metric a cap",
}

WAYS_OUT = {
    "events": "mend what sends them, or leave them out by the metric's `where`",
    "units": "fill in what a missing value means (0, where nothing happened), or leave such units out of the table",
}


def decide(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    cells: Sequence[Cell],
    health: Health,
    *,
    time: int,
    final: bool,
    before: Verdict | None = None,
    of_files: bool = False,
) -> Verdict:
    """The verdict on a look. `metrics` are those in force, `time` is the look's, `final`: nothing can change any more.
    `before` is that of the last look, from which the time left goes on.

    `of_files`: nobody knows how often they were looked at before, so a fixed-horizon test that has more units than were
    planned decides nothing.

    A broken split or assignment comes first. Else each treatment has a verdict of its own, in this order: it wins on
    the primary metric, harms no guardrail, and is proved safe where a margin asks for it; it harms; it cannot hit its
    prediction; it takes more patience, or nothing more is to come. Patience is of no use where no exposure comes: that
    needs attention then. So does a primary metric or a guardrail whose events don't come, unless there is harm.
    """
    flag = run.definition
    if not flag.metrics:
        return Verdict("none", "The flag has no metrics: it switches, and nothing is compared.")
    goals = {goal.metric: goal for goal in flag.metrics}
    pace = Pace(run, health, time, before.days_left if before else None)
    deciding = [cell for cell in cells if is_deciding(cell, metrics)]
    told = _exploratory(cells, metrics, goals), _missing(health)
    primary = [cell for cell in deciding if goals[cell.metric].role == "primary"]
    guardrails = [cell for cell in deciding if goals[cell.metric].role == "guardrail"]
    harmed = harm_in(cells, guardrails)
    predictions = {prediction(cell, goals[cell.metric]) for cell in primary}
    predicted = next((each for each in ("hit", "open", "missed") if each in predictions), None)

    losses = worst(health.losses or ())
    if doubt := _doubt(health, [*primary, *guardrails]) or next(iter(_silent(primary, losses)), None):
        return Verdict("needs attention", _sentence(doubt, *told), predicted)
    silent = _silent(guardrails, losses)
    if of_files and (beyond := _says_beyond([*primary, *guardrails])):
        return Verdict("none", _sentence(beyond, *silent, *told), predicted)
    treatments = [variant.key for variant in flag.variants if variant.key != control_of(flag)]
    arms = {}
    for variant in treatments:
        its_primary, its_guardrails, its_harmed = (_of_variant(each, variant) for each in (primary, guardrails, harmed))
        arms[variant] = (
            _won(its_primary, its_guardrails, its_harmed, goals, final)
            or _lost(its_primary, its_harmed, goals)
            or _undecided(its_primary, goals, final, lambda cell: time_left(cell, goals[cell.metric], pace))
        )
    outcome = _of_all(arms) if arms else _undecided([], goals, final, lambda _: TimeLeft())
    faults, is_grave = _faults(health, goals, outcome)
    if is_grave:
        said = outcome.parts if any(arm.units for arm in health.arms) else ()
        verdict = Verdict("needs attention", _sentence(*faults, *said, *silent, *told), predicted)
    else:
        left = outcome.left
        verdict = Verdict(
            outcome.decision,
            _sentence(*outcome.parts, *silent, *faults, *told),
            predicted,
            left.days,
            days_if_predicted=UNSET if left.predicted is None else left.predicted,
            excluded=UNSET if left.excluded is None else left.excluded,
        )
    if len(treatments) <= 1 or is_grave:
        return verdict
    of_arms = [ArmVerdict(variant, arm.arm_decision, _sentence(*arm.parts)) for variant, arm in arms.items()]
    return msgspec.structs.replace(verdict, arms=of_arms)


def harm_in(cells: Iterable[Cell], guardrails: Iterable[Cell]) -> list[Cell]:
    """The cells that show harm; of `guardrails` are the deciding ones.

    The exact test shows it on the live reading too, and sooner; what has settled knows better.
    """
    safe = {(cell.metric, cell.variant) for cell in guardrails if cell.judgement == "safe"}
    return [cell for cell in cells if cell.judgement == "harmed" and (cell.metric, cell.variant) not in safe]


def _faults(health: Health, goals: Mapping[str, Goal], outcome: "_Outcome") -> tuple[list[str], bool]:
    """What does not come, and whether that is graver than the outcome: then it is said first."""
    faults = list(health.data or ())
    deciding = {key for key, goal in goals.items() if goal.role != "secondary"}
    grave = [
        fault
        for fault in faults
        if (fault.metric in deciding and outcome.decision in ("ship", "keep running"))
        or (fault.kind in WITHOUT_ENTRIES and outcome.decision == "keep running")
    ]
    said = [fault.says for fault in [*grave, *(fault for fault in faults if fault not in grave)]]
    if grave:
        said[0] = said[0][0].upper() + said[0][1:]
    return [*said, *([ARRIVING] if said else [])], bool(grave)


def _sentence(*parts: str) -> str:
    return "; ".join(filter(None, parts)) + "."


def _silent(cells: Sequence[Cell], losses: Mapping[str, Loss]) -> list[str]:
    """Why metrics whose events hold no usable number too often, or unevenly, say nothing; each once."""
    return [_silence(losses[metric]) for metric in dict.fromkeys(c.metric for c in cells if c.status == "unusable")]


def _silence(loss: Loss) -> str:
    example = "" if loss.example is None else f", such as {loss.example or 'one without the property'}"
    arms = sorted(loss.arms or (), key=lambda arm: arm.share)
    whose, others = (f"{arms[-1].variant}'s", f", of {arms[0].variant}'s {arms[0].share:.1%}") if arms else ("its", "")
    return (
        f"{loss.metric} says nothing: {loss.share:.1%} of {whose} {loss.of} {no_number(loss)}{example}{others}"
        f"; {WAYS_OUT[loss.of]}"
    )


def _exploratory(cells: Iterable[Cell], metrics: Mapping[str, MetricInForce], goals: Mapping[str, Goal]) -> str:
    """Which metrics would decide, had they not been chosen after the start and counted from the start on."""
    its = [cell for cell in cells if cell.exploratory and decides(metrics[cell.metric], cell.reading, cell.segment)]
    names = [*dict.fromkeys(cell.metric for cell in its if goals[cell.metric].role != "secondary")]
    if not names:
        return ""
    are = "is exploratory" if len(names) == 1 else "are exploratory"
    return f"{' and '.join(names)} {are}, chosen after the start and counted from the start on: nothing rests on that"


def _missing(health: Health) -> str:
    """What was lost on the way to the numbers."""
    if isinstance(health.gaps, UnsetType):
        return ""
    offsets = sum(gap.end - gap.begin - gap.unknown for gap in health.gaps)
    number = f"{offsets:,}"
    if any(gap.unknown for gap in health.gaps):
        number = f"at least {offsets:,}" if offsets else "an unknown number of"
    topics = " and ".join(sorted({gap.topic for gap in health.gaps}))
    reasons = ", ".join(sorted({gap.reason for gap in health.gaps}))
    return f"{number} records of {topics} were lost and are in no number ({reasons})"


class _Outcome:
    """A decision about one treatment or all, and the parts of its sentence. `weight` says which of several speaks."""

    def __init__(self, decision: Decision, *parts: str, weight: float = 0.0, left: TimeLeft = NO_TIME) -> None:
        self.decision, self.parts, self.weight, self.left = decision, parts, weight, left

    @property
    def arm_decision(self) -> ArmDecision:
        """The same of one treatment."""
        match self.decision:
            case "ship" | "keep running":
                return self.decision
            case "roll back":
                return "drop"
        return "none"


def _of_all(arms: Mapping[str, _Outcome]) -> _Outcome:
    """What the verdicts on the treatments say of the experiment: the best ships, and who is to be dropped is named."""
    if len(arms) == 1:
        return next(iter(arms.values()))
    heaviest = sorted(arms, key=lambda variant: -arms[variant].weight)
    of = {
        decision: [variant for variant in heaviest if arms[variant].decision == decision]
        for decision in ("ship", "roll back", "keep running", "none")
    }
    dropped = [f"{', '.join(filter(None, arms[variant].parts))}: drop {variant}" for variant in of["roll back"]]
    if ship := of["ship"]:
        best, *others = ship
        also = [f"{arms[variant].parts[0]}: it could ship too" for variant in others]
        return _Outcome("ship", *arms[best].parts, *also, *dropped)
    if len(of["roll back"]) == len(arms):
        return _Outcome("roll back", *dropped)
    speaks = arms[(of["keep running"] or of["none"])[0]]
    return _Outcome(speaks.decision, *dropped, *speaks.parts, left=speaks.left)


def _won(
    primary: Sequence[Cell], guardrails: Sequence[Cell], harmed: Sequence[Cell], goals: Mapping[str, Goal], final: bool
) -> _Outcome | None:
    winners = [cell for cell in primary if cell.judgement == "better"]
    if not winners or harmed:
        return None
    best = max(winners, key=size_of)
    unproved = [cell for cell in guardrails if cell.judgement == "open" and goals[cell.metric].margin is not None]
    if not unproved:
        said = _says_prediction(best, goals), _says_guardrails([c for c in guardrails if c.status != "unusable"], goals)
        return _Outcome("ship", says_effect(best), *said, weight=size_of(best))
    waits = unproved[0]
    yet = "" if waits.is_read else "yet "
    margin = f"not {yet}sure to lose less than its margin of {_share(goals[waits.metric].margin)}"
    is_over = final or waits.is_read
    about = waits.metric if waits.status == "unusable" else says_effect(waits)
    return _Outcome("none" if is_over else "keep running", says_effect(best), f"{about}, {margin}", weight=1.0)


def _lost(primary: Sequence[Cell], harmed: Sequence[Cell], goals: Mapping[str, Goal]) -> _Outcome | None:
    if harmed:
        worst = max(harmed, key=lambda cell: size_of(cell) - (goals[cell.metric].margin or 0.0))
        return _Outcome("roll back", says_effect(worst) + ": a guardrail is harmed", weight=2e9 + size_of(worst))
    if losers := [cell for cell in primary if cell.judgement == "worse"]:
        worst = max(losers, key=size_of)
        return _Outcome("roll back", says_effect(worst) + ": the primary metric is harmed", weight=1e9 + size_of(worst))
    if primary and {prediction(cell, goals[cell.metric]) for cell in primary} == {"missed"}:
        best = max(primary, key=size_of)
        return _Outcome("roll back", says_effect(best), _says_prediction(best, goals))
    return None


def _undecided(
    primary: Iterable[Cell], goals: Mapping[str, Goal], final: bool, left_of: Callable[[Cell], TimeLeft]
) -> _Outcome:
    waits: Decision = "none" if final else "keep running"
    if not any(goal.role == "primary" for goal in goals.values()):
        return _Outcome(waits, "No metric is primary, so none decides: read the cells, or give one the role")
    if not primary:
        comes = "has no numbers" if final else "its numbers come when every worker has it"
        return _Outcome(waits, f"The primary metric's definition changed: {comes}")
    # The comparison that is nearest to a decision speaks for the rest.
    nearest = min(primary, key=_p_value)
    weight = 1.0 - _p_value(nearest)
    if all(cell.is_read for cell in primary):
        return _Outcome("none", _says_read(nearest), weight=weight)
    if final:
        left = TimeLeft(excluded=left_of(nearest).excluded)
        said = _says_units(nearest, final), *_says_left(left, goals[nearest.metric]), "it has ended without a decision"
        return _Outcome("none", *said, weight=weight, left=left)
    planned = nearest.planned_units or 0
    if nearest.method in FIXED and nearest.n + nearest.control_n >= planned:
        due = f"all {planned:,} planned units are in, and there is nothing to compare" if planned else ""
        return _Outcome("none", _says_units(nearest), due, weight=weight)
    left = left_of(nearest)
    told = [*_says_left(left, goals[nearest.metric])]
    if nearest.status != "ok" and nearest.running_p_value is not None:
        told.insert(0, f"at this look {_untested(nearest)}, so nobody can say how long it takes")
    return _Outcome("keep running", _says_units(nearest), *told, weight=weight, left=left)


def _p_value(cell: Cell) -> float:
    return 1.0 if cell.running_p_value is None else cell.running_p_value


def prediction(cell: Cell, goal: Goal) -> Prediction | None:
    """Whether the lift is as large as the goal's minimum effect; None: there is none."""
    if goal.minimum_effect is None:
        return None
    lower, upper = cell.running_relative_lower, cell.running_relative_upper
    # With gains positive.
    worst, best = (lower, upper) if goal.direction == "increase" else (upper and -upper, lower and -lower)
    if worst is not None and worst >= goal.minimum_effect:
        return "hit"
    return "missed" if best is not None and best < goal.minimum_effect else "open"


def _doubt(health: Health, cells: Iterable[Cell]) -> str | None:
    """Why the numbers cannot be believed, if so."""
    if split := says_split(health):
        return f"{split}; find the cause first"
    return doubt_beside_split(health, cells)


def doubt_beside_split(health: Health, cells: Iterable[Cell]) -> str | None:
    """Why the numbers cannot be believed, were the split as promised; `cells` are the deciding ones."""
    met = sum(arm.units for arm in health.arms) + health.jumpers
    if met >= JUMPERS_SEEN_IN and health.jumpers > JUMPERS * met:
        return (
            f"{health.jumpers:,} of {met:,} units met two variants and were withdrawn ({health.jumpers / met:.1%}); "
            "a unit must keep its variant: see how producers identify it"
        )
    for cell in cells:
        if cell.running_empty:
            return (
                f"The effect of {cell.variant} on {cell.metric} has moved: intervals of different looks exclude each "
                "other, so no single effect explains them; see what changed meanwhile"
            )
    return None


def says_split(health: Health) -> str | None:
    """That the split is broken, if it is."""
    p_value = health.srm_running_p_value
    if p_value is None or p_value >= SPLIT_ALPHA or not health.arms:
        return None
    units = sum(arm.units for arm in health.arms)
    arm = max(health.arms, key=lambda arm: abs(arm.units - arm.expected_share * units))
    return (
        f"The split is broken: {arm.variant} has {arm.units:,} of {units:,} units where the weights promise "
        f"{arm.expected_share:.1%} (sequential test of the split, p {_p(p_value)})"
    )


def _of_variant(cells: Iterable[Cell], variant: str) -> list[Cell]:
    return [each for each in cells if each.variant == variant]


def size_of(cell: Cell) -> float:
    """The size of the lift; of one over nothing it is beyond every other."""
    return 1e6 if cell.relative_estimate is None else min(1e6, abs(cell.relative_estimate))


def says_effect(cell: Cell) -> str:
    """A sentence of one comparison: its effect, how large it is, and how sure."""
    reading = " (live reading)" if cell.reading == "live" else ""
    verb, what = VERBS.get(cell.judgement), f"{cell.metric}{reading}"
    effect = f"{cell.variant} {verb} {what}" if verb else f"the effect of {cell.variant} on {what} is open"
    return f"{effect}: {says_numbers(cell)}"


def says_numbers(cell: Cell) -> str:
    """The size of an effect, how sure it is, and why no guarantee is claimed for it, if so."""
    return "; ".join(filter(None, (f"{_size(cell)}, {_certainty(cell)}", CAVEATS[cell.caveat])))


def _says_units(cell: Cell, final: bool = False) -> str:
    units = f"{cell.n:,} units of {cell.variant} and {cell.control_n:,} of {cell.control}"
    if cell.status != "ok" and cell.running_p_value is None:
        return f"{cell.metric} has {units}{'' if final else ' so far'}: {_untested(cell)}"
    if cell.method in FIXED and cell.planned_units is None:
        return f"{cell.metric} has {units}, and a t-test needs a plan: planned_units, or a baseline and minimum_effect"
    if cell.method in FIXED and cell.running_p_value is None:
        is_to_be = "was to be" if final else "is"
        planned = f"{cell.planned_units:,} planned"
        return f"{cell.metric} has {units} of the {planned}: the t-test {is_to_be} read when they are in"
    return f"{says_effect(cell)}, after {units}" + ("" if final else ": not decided yet")


def _untested(cell: Cell) -> str:
    return "too few for a test" if cell.status == "gated" else cell.status


def _says_beyond(cells: Iterable[Cell]) -> str | None:
    """Of fixed-horizon tests that were read at more units than were planned, if any were."""
    for cell in cells:
        units, planned = cell.n + cell.control_n, cell.planned_units
        if cell.is_read and planned and units > BEYOND_PLAN * planned:
            return (
                f"{cell.metric} was read at {units:,} units, where {planned:,} were planned: a fixed-horizon test is "
                f"valid once, at its plan, so this decides nothing; {cell.variant} against {cell.control}: "
                f"{_size(cell)}, {_certainty(cell)}"
            )
    return None


def _says_read(cell: Cell) -> str:
    """Of a fixed-horizon test that found nothing: that it is over, and which effects it excludes."""
    is_lift, lower, upper, form = _ends(cell)
    outside = [
        f"below {lower:{form}}" if lower is not None else "",
        f"above {upper:{form}}" if upper is not None else "",
    ]
    excluded = " and ".join(filter(None, outside))
    what = f"; {'lifts' if is_lift else 'differences'} {excluded} are excluded" if excluded else ""
    found = f"no difference found between {cell.variant} and {cell.control}"
    if cell.alternative != "two-sided":
        found = f"no gain of {cell.variant} over {cell.control} found (one-sided: no harm is looked for)"
    return (
        f"{cell.metric} was read at its {cell.planned_units:,} planned units: {found}, {_size(cell)}, "
        f"{_certainty(cell)}{what}"
    )


def _says_prediction(cell: Cell, goals: Mapping[str, Goal]) -> str:
    goal = goals[cell.metric]
    if goal.minimum_effect is None:
        return ""
    sign = "+" if goal.direction == "increase" else "-"
    state = prediction(cell, goal)
    is_so = "still open" if state == "open" else state
    return f"the prediction of {sign}{_share(goal.minimum_effect)} or more is {is_so}"


def _says_guardrails(its: Sequence[Cell], goals: Mapping[str, Goal]) -> str:
    """What ships with the winner: guardrails that are proved safe, others of which no harm is known, and on what both
    rest where nothing settles.
    """
    proved = [
        f"{each.metric} is proved safe within its margin of {_share(goals[each.metric].margin)}"
        for each in its
        if each.judgement == "safe" and goals[each.metric].margin is not None
    ]
    said = ", ".join([*proved, *(["no guardrail is harmed"] if len(proved) < len(its) else [])])
    live = " and ".join(each.metric for each in its if each.reading == "live")
    if not live:
        return said
    return f"{said} (live reading of {live}: without a window the guarantee of always-valid results is not claimed)"


def _share(share: float | None) -> str:
    return f"{100.0 * (share or 0.0):.3g}%"


def _says_left(left: TimeLeft, goal: Goal) -> Iterator[str]:
    """How long it may take, and what is known already where nobody sees an end."""
    if left.predicted is None:
        if left.days:
            yield f"at this pace it takes {_days(left.days)} more"
    else:
        sign = "+" if goal.direction == "increase" else "-"
        prediction = f"prediction of {sign}{_share(goal.minimum_effect)}"
        if left.is_due:
            yield f"were the {prediction} true, it would have shown by now, four times in five"
        else:
            yield f"if the {prediction} is true, it takes {_days(left.predicted)} more at this pace"
        if left.days:
            yield f"as it looks now {_days(left.days)}"
    if left.excluded is not None and (left.days is None or left.days >= MOST_DAYS):
        yield f"effects of {_share(left.excluded)} or more, up or down, are excluded already"


def _days(days: float) -> str:
    if days >= MOST_DAYS:
        return f"more than {MOST_DAYS} days"
    for unit, length in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= 2 * length:
            return f"about {days / length:.0f} {unit}"
    return "about a minute"


def _size(cell: Cell) -> str:
    """The lift, where its interval says the same as the difference's; else the difference."""
    is_lift, *ends, form = _ends(cell)
    estimate = cell.relative_estimate if is_lift else cell.estimate
    return "no estimate at this look" if estimate is None else f"{estimate:{form}}{_interval(ends, form)}"


def _ends(cell: Cell) -> tuple[bool, float | None, float | None, str]:
    """Whether the lift is told rather than the difference, the running interval, and how its numbers are written."""
    absolute = cell.running_lower, cell.running_upper
    relative = least, most = cell.running_relative_lower, cell.running_relative_upper
    is_lift = cell.relative_estimate is not None and (
        cell.method == "exact" or (relative != (None, None) and _side(*absolute) == _side(*relative))
    )
    if not is_lift:
        return False, *absolute, "+.4g"
    # A rate loses no more than all of itself, so such an end says nothing.
    return True, None if cell.method in OF_RATES and least is not None and least < ALL_LOST else least, most, "+.1%"


def _side(lower: float | None, upper: float | None) -> int:
    """On which side of zero the interval is; 0: it holds zero."""
    return 1 if lower is not None and lower > 0.0 else -1 if upper is not None and upper < 0.0 else 0


def _interval(ends: Sequence[float | None], form: str) -> str:
    lower, upper = ends
    if lower is None:
        return "" if upper is None else f" [at most {upper:{form}}]"
    return f" [at least {lower:{form}}]" if upper is None else f" [{lower:{form}}, {upper:{form}}]"


def _certainty(cell: Cell) -> str:
    if cell.chance is not None:
        return f"chance to beat control {cell.chance:.1%}"
    test = TESTS.get(cell.method, "")
    if cell.adjusted_p_value is None or cell.adjusted_p_value == cell.running_p_value:
        return f"{test}p {_p(cell.running_p_value)}"
    return f"{test}p {_p(cell.running_p_value)} (adjusted {_p(cell.adjusted_p_value)})"


def _p(p_value: float | None) -> str:
    return "unknown" if p_value is None else "< 0.0001" if p_value < 0.0001 else f"= {p_value:.2g}"
