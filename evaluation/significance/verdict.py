"""Verdict: what a person should do with an experiment, and why, in one sentence that names the numbers.

It rests on the cells' judgements. A metric without a window never settles; its live reading stands in, and the sentence
says that the guarantee is not claimed for it.

The prediction of the hypothesis is the primary goal's minimum effect: hit when the whole interval of the lift is beyond
it, missed when none of it is. An improvement ships even if it misses the prediction, and says so; a treatment that
improves nothing and cannot reach what was predicted goes back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import UnsetType

from evaluation.catalog import MetricInForce, RunInForce
from evaluation.significance import srm
from evaluation.significance.judgements import decides
from evaluation.significance.planning import MOST_DAYS, days_left
from schemas.catalog import Goal
from schemas.look import FIXED, Caveat, Cell, Decision, Health, Judgement, Method, Verdict

JUMPERS = 0.05  # share of units that met two variants, beyond which the assignment itself is broken
JUMPERS_SEEN_IN = 100  # units, below which the share says nothing
Prediction = Literal["hit", "missed", "open"]

VERBS: dict[Judgement | None, str] = {"better": "improves", "worse": "harms", "harmed": "harms"}
TESTS: dict[Method, str] = {"exact": "exact ", "t-test": "t-test ", "boschloo": "Boschloo "}  # before a p-value
CAVEATS: dict[Caveat | None, str] = {
    None: "",
    "open windows": "its metric has no window, so the guarantee of always-valid results is not claimed",
    "heavy tail": "it is an uncapped sum on an unequal split, so no guarantee is claimed: give the metric a cap",
}


def decide(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    cells: Sequence[Cell],
    health: Health,
    *,
    time: int,
    final: bool,
) -> Verdict:
    """The verdict on a look. `metrics` are those in force, `time` is the look's, `final`: nothing can change any more.

    In this order: a broken split or assignment; a treatment that wins on the primary metric, harms no guardrail, and is
    proved safe where a margin asks for it; a treatment that harms; one that cannot hit its prediction; more patience.
    """
    flag = run.definition
    if not flag.metrics:
        return Verdict("none", "The flag has no metrics: it switches, and nothing is compared.")
    goals = {goal.metric: goal for goal in flag.metrics}
    deciding = [cell for cell in cells if decides(metrics[cell.metric], cell.reading, cell.segment)]
    primary = [cell for cell in deciding if goals[cell.metric].role == "primary"]
    guardrails = [cell for cell in deciding if goals[cell.metric].role == "guardrail"]
    safe = {(cell.metric, cell.variant) for cell in guardrails if cell.judgement == "safe"}
    # The exact test shows harm on the live reading too, and sooner; what has settled knows better.
    harmed = [cell for cell in cells if cell.judgement == "harmed" and (cell.metric, cell.variant) not in safe]
    predictions = {prediction(cell, goals[cell.metric]) for cell in primary}
    predicted = next((each for each in ("hit", "open", "missed") if each in predictions), None)

    doubt = _doubt(health, [*primary, *guardrails])
    outcome = (
        (doubt and _Outcome("needs attention", doubt))
        or _won(primary, guardrails, harmed, goals, final)
        or _lost(primary, harmed, goals, predictions)
        or _undecided(primary, goals, final, lambda cell: days_left(cell, run, health, time))
    )
    sentence = "; ".join(filter(None, (*outcome.parts, _missing(health)))) + "."
    return Verdict(outcome.decision, sentence, predicted, outcome.left)


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
    """A decision and the parts of its sentence."""

    def __init__(self, decision: Decision, *parts: str, left: float | None = None) -> None:
        self.decision, self.parts, self.left = decision, parts, left


def _won(
    primary: Iterable[Cell], guardrails: Iterable[Cell], harmed: Iterable[Cell], goals: Mapping[str, Goal], final: bool
) -> _Outcome | None:
    winners = [cell for cell in primary if cell.judgement == "better" and not _of_variant(harmed, cell)]
    unproved = [cell for cell in guardrails if cell.judgement == "open" and goals[cell.metric].margin is not None]
    if ready := [cell for cell in winners if not _of_variant(unproved, cell)]:
        best = _best(ready)
        return _Outcome("ship", _says(best), _says_prediction(best, goals), _says_guardrails(guardrails, best, goals))
    if not winners or harmed:
        return None
    best = _best(winners)
    (waits, *_) = _of_variant(unproved, best)
    margin = f"not yet sure to lose less than its margin of {_share(goals[waits.metric].margin)}"
    return _Outcome("none" if final else "keep running", _says(best), f"{_says(waits)}, {margin}")


def _lost(
    primary: Sequence[Cell], harmed: Sequence[Cell], goals: Mapping[str, Goal], predictions: set[Prediction | None]
) -> _Outcome | None:
    if harmed:
        return _Outcome("roll back", _says(harmed[0]) + ": a guardrail is harmed")
    if losers := [cell for cell in primary if cell.judgement == "worse"]:
        return _Outcome("roll back", _says(losers[0]) + ": the primary metric is harmed")
    if predictions == {"missed"}:
        best = _best(primary)
        return _Outcome("roll back", _says(best), _says_prediction(best, goals))
    return None


def _undecided(
    primary: Iterable[Cell], goals: Mapping[str, Goal], final: bool, left_of: Callable[[Cell], float | None]
) -> _Outcome:
    if not any(goal.role == "primary" for goal in goals.values()):
        return _Outcome("keep running", "No metric is primary, so none decides: read the cells, or give one the role")
    if not primary:
        return _Outcome(
            "keep running", "The primary metric's definition changed: its numbers come when every worker has it"
        )
    # The comparison that is nearest to a decision speaks for the rest.
    nearest = min(primary, key=lambda cell: 1.0 if cell.running_p_value is None else cell.running_p_value)
    if final:
        return _Outcome("none", _says_units(nearest), "the run has ended without a decision")
    if nearest.method in FIXED and nearest.planned_units is None:
        return _Outcome("none", _says_units(nearest))
    left = left_of(nearest)
    return _Outcome("keep running", _says_units(nearest), _says_days(left), left=left)


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
    units = sum(arm.units for arm in health.arms)
    p_value = health.srm_running_p_value
    if p_value is not None and p_value < srm.ALPHA:
        arm = max(health.arms, key=lambda arm: abs(arm.units - arm.expected_share * units))
        return (
            f"The split is broken: {arm.variant} has {arm.units:,} of {units:,} units where the weights promise "
            f"{arm.expected_share:.1%} (sequential test of the split, p {_p(p_value)}); find the cause first"
        )
    met = units + health.jumpers
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


def _of_variant(cells: Iterable[Cell], cell: Cell) -> list[Cell]:
    return [each for each in cells if each.variant == cell.variant]


def _best(cells: Iterable[Cell]) -> Cell:
    return max(cells, key=lambda cell: abs(cell.relative_estimate or 0.0))


def _says(cell: Cell) -> str:
    """A sentence of one comparison: its effect, how large it is, and how sure."""
    reading = " (live reading)" if cell.method == "exact" and cell.reading == "live" else ""
    verb, what = VERBS.get(cell.judgement), f"{cell.metric}{reading}"
    effect = f"{cell.variant} {verb} {what}" if verb else f"the effect of {cell.variant} on {what} is open"
    sentence = f"{effect}: {_size(cell)}, {_certainty(cell)}"
    return "; ".join(filter(None, (sentence, CAVEATS[cell.caveat])))


def _says_units(cell: Cell) -> str:
    units = f"{cell.n:,} units of {cell.variant} and {cell.control_n:,} of {cell.control}"
    if cell.status != "ok" and cell.running_p_value is None:
        why = "too few for a test" if cell.status == "gated" else cell.status
        return f"{cell.metric} has {units} so far: {why}"
    if cell.method in FIXED and cell.planned_units is None:
        return f"{cell.metric} has {units}, and a t-test needs a plan: planned_units, or a baseline and minimum_effect"
    if cell.method in FIXED and cell.running_p_value is None:
        return f"{cell.metric} has {units} of the {cell.planned_units:,} planned: the t-test is read when they are in"
    return f"{_says(cell)}, after {units}: not decided yet"


def _says_prediction(cell: Cell, goals: Mapping[str, Goal]) -> str:
    goal = goals[cell.metric]
    if goal.minimum_effect is None:
        return ""
    sign = "+" if goal.direction == "increase" else "-"
    state = prediction(cell, goal)
    is_so = "still open" if state == "open" else state
    return f"the prediction of {sign}{_share(goal.minimum_effect)} or more is {is_so}"


def _says_guardrails(guardrails: Iterable[Cell], cell: Cell, goals: Mapping[str, Goal]) -> str:
    """What ships with the winner: guardrails that are proved safe, and others of which no harm is known."""
    its = _of_variant(guardrails, cell)
    proved = [
        f"{each.metric} is proved safe within its margin of {_share(goals[each.metric].margin)}"
        for each in its
        if each.judgement == "safe" and goals[each.metric].margin is not None
    ]
    return ", ".join([*proved, *(["no guardrail is harmed"] if len(proved) < len(its) else [])])


def _share(share: float | None) -> str:
    return f"{100.0 * (share or 0.0):.3g}%"


def _says_days(days: float | None) -> str:
    if days is None:
        return ""
    if days >= MOST_DAYS:
        return f"at this pace it takes more than {MOST_DAYS} days"
    for unit, length in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= 2 * length:
            return f"at this pace it takes about {days / length:.0f} {unit} more"
    return "at this pace it takes about a minute more" if days > 0 else ""


def _size(cell: Cell) -> str:
    """The lift, where its interval says the same as the difference's; else the difference."""
    absolute, relative = (
        (cell.running_lower, cell.running_upper),
        (cell.running_relative_lower, cell.running_relative_upper),
    )
    if cell.relative_estimate is not None and (
        cell.method == "exact" or (relative != (None, None) and _side(*absolute) == _side(*relative))
    ):
        return f"{cell.relative_estimate:+.1%}{_interval(relative, '+.1%')}"
    if cell.estimate is None:
        return "no estimate at this look"
    return f"{cell.estimate:+.4g}{_interval(absolute, '+.4g')}"


def _side(lower: float | None, upper: float | None) -> int:
    """On which side of zero the interval is; 0: it holds zero."""
    return 1 if lower is not None and lower > 0.0 else -1 if upper is not None and upper < 0.0 else 0


def _interval(ends: tuple[float | None, float | None], form: str) -> str:
    match ends:
        case (None, None):
            return ""
        case (None, upper):
            return f" [at most {upper:{form}}]"
        case (lower, None):
            return f" [at least {lower:{form}}]"
        case (lower, upper):
            return f" [{lower:{form}}, {upper:{form}}]"


def _certainty(cell: Cell) -> str:
    if cell.chance is not None:
        return f"chance to beat control {cell.chance:.1%}"
    test = TESTS.get(cell.method, "")
    if cell.adjusted_p_value is None or cell.adjusted_p_value == cell.running_p_value:
        return f"{test}p {_p(cell.running_p_value)}"
    return f"{test}p {_p(cell.running_p_value)} (adjusted {_p(cell.adjusted_p_value)})"


def _p(p_value: float | None) -> str:
    return "unknown" if p_value is None else "< 0.0001" if p_value < 0.0001 else f"= {p_value:.2g}"
