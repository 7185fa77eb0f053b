"""Of runs: what their newest looks show, and what has not come for long.

A run of a flag that is archived or deleted is nobody's concern. That nothing comes is known only while every stage on
the way to a look keeps up. What comes for an old run is counted until that is final; nothing is known of it later.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from msgspec import UNSET

from evaluation.catalog.in_force import Catalog, FlagInForce, RunInForce
from evaluation.catalog.overview import stages_to_look
from evaluation.notifications.circumstance import Circumstance, Wording
from evaluation.notifications.runs import MetricSeen, RunSeen, decision_of, live_cells, name_of
from evaluation.notifications.work import Work
from evaluation.significance.judgements import is_deciding
from evaluation.significance.verdict import ARRIVING, harm_in, says_effect, says_split
from schemas.catalog import GoalRole
from schemas.duration import in_words
from schemas.look import FIXED, UNKNOWN, Cell, RunKey
from schemas.notification import OCCURRENCES, Occurrence

FEW = 100  # units, of which none may have sent an event by chance
RARE = 5.0  # expected events: that none came has a chance of 0.7 %
NUMBERS = ("relative_estimate", "running_relative_lower", "running_relative_upper")
_OF_FAULTS = ("metric", "event", "since", "count")
OF_NO_LIFT = ("estimate", "running_lower", "running_upper")


class RunWatched(NamedTuple):
    """A run, and what is known of it by its looks; None: there was none."""

    flag: FlagInForce
    run: RunInForce
    seen: RunSeen | None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.run.flag} ({self.run.key})"


def watched(catalog: Catalog, runs: Mapping[RunKey, RunSeen]) -> list[RunWatched]:
    """Every run that somebody may be told of."""
    return [
        RunWatched(flag, run, runs.get((run.flag, run.key)))
        for flag in catalog.flags.values()
        if not flag.removed
        for run in flag.runs
    ]


def of_runs(event: Occurrence, runs: Iterable[RunWatched], work: Work) -> Iterator[Circumstance]:
    """What of the runs stands, of an event that is one of theirs."""
    if event in _OF_LOOKS:
        for each in runs:
            if each.seen is not None:
                yield from _OF_LOOKS[event](each, each.seen, work.now)
    else:
        for each in runs:
            if _is_open(each) and _tells_all(each.flag, work):
                yield from _no_exposures(each, work.now) if event == "no exposures" else _no_events(each, work.now)


def numbers_of(cell: Cell) -> dict[str, Any]:
    """The few numbers of a comparison that matter, by the names of the look."""
    names = NUMBERS if cell.relative_estimate is not None else OF_NO_LIFT
    told = ("metric", "variant", "reading", *names, "running_p_value", "chance", "n", "control_n")
    return {name: value for name in told if (value := getattr(cell, name)) is not None}


def _verdict(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    look, verdict = seen.look, seen.look.verdict

    def say() -> Wording:
        harmed = [cell for cell in look.cells if cell.judgement == "harmed"] if verdict.decision == "roll back" else []
        nearest = min(harmed or _deciding(each, seen, "primary"), key=_p_value, default=None)
        numbers = numbers_of(nearest) if nearest else {}
        return _said(each, seen, verdict.reason, {"decision": verdict.decision, "units": seen.units} | numbers)

    decision = decision_of(look.verdict)
    first = "keep running" if each.run.definition.metrics else "none"
    yield _circumstance(
        "verdict changed", each, seen.time, say, state=decision, lasted=now - seen.decided, is_first=decision == first
    )


def _harm(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    del now
    if not any(cell.judgement == "harmed" for cell in seen.look.cells):
        return
    deciding = _deciding(each, seen, "guardrail")
    guardrails = {goal.metric for goal in each.run.definition.metrics if goal.role == "guardrail"}
    harmed = [cell for cell in harm_in(seen.look.cells, deciding) if cell.metric in guardrails]
    # What verdicts rest on speaks, where both readings show it.
    harmed.sort(key=lambda cell: cell in deciding)
    for cell in {(cell.metric, cell.variant): cell for cell in harmed}.values():
        what = "its plan acts on it" if _is_guarded(each) else "roll it back, or find out why"
        sentence = f"{says_effect(cell)}: a guardrail of {each.name} is harmed; {what}."
        say = partial(_said, each, seen, sentence, numbers_of(cell))
        yield _circumstance("guardrail harmed", each, seen.time, say, cell.metric, cell.variant)


def _is_guarded(each: RunWatched) -> bool:
    """Whether a plan acts by itself on harm."""
    plan, standing = each.run.definition.plan, each.flag.plan
    return plan is not None and plan.on_harm != "tell" and (standing is None or standing.progress.heeds_alarms)


def _split(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    del now
    health = seen.look.health
    if split := says_split(health):
        numbers = {"srm_running_p_value": health.srm_running_p_value, "units": seen.units}
        sentence = f"{each.name}: {split[0].lower()}{split[1:]}; believe no number of it, and find the cause first."
        yield _circumstance("split broken", each, seen.time, partial(_said, each, seen, sentence, numbers))


def _old_run(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    del now
    completed = each.run.completed
    if completed is None or seen.strays is None or seen.strays <= completed:
        return
    lasted, inactive = seen.strays - completed, seen.look.health.inactive
    sentence = (
        f"Exposures still come for {each.name}, {in_words(lasted)} after it ended: {inactive:,} were of a time when it "
        "took no units, and are in no number; let their producers load the flag anew."
    )
    say = partial(_said, each, seen, sentence, {"inactive": inactive})
    yield _circumstance("exposures of an old run", each, seen.strays, say, lasted=lasted)


def _data(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    for fault in seen.look.health.data or ():
        numbers = {name: value for name in _OF_FAULTS if (value := getattr(fault, name)) is not UNSET}
        say = partial(_said, each, seen, f"{each.name}: {fault.says}; {ARRIVING}.", {"units": seen.units} | numbers)
        name = name_of(fault)
        state = f"{fault.since}" if fault.kind in {"exposures stopped", "event stopped"} else ""
        told = seen.faults[name]
        yield _circumstance("data missing", each, told, say, name, state=state, lasted=now - told)


def _sample(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    del now
    analysis = each.run.definition.analysis
    if analysis.planned_units is None and analysis.baseline is None:
        return
    cells = _deciding(each, seen, "primary")
    if cells and all(
        cell.planned_units is not None and cell.n + cell.control_n >= cell.planned_units for cell in cells
    ):
        planned = cells[0].planned_units
        read = "the test is read" if cells[0].method in FIXED else "what is open now may stay open"
        sentence = (
            f"{each.name} has the {planned:,} units that were planned for a treatment and control: {read}. "
            f"{seen.look.verdict.reason}"
        )
        numbers = {"planned_units": planned, "units": seen.units}
        yield _circumstance("planned sample reached", each, seen.time, partial(_said, each, seen, sentence, numbers))


def _final(each: RunWatched, seen: RunSeen, now: int) -> Iterator[Circumstance]:
    del now
    if seen.look.final:
        verdict = seen.look.verdict
        sentence = f"{each.name} is over and settled: its results stay as they are. {verdict.reason}"
        numbers = {"decision": verdict.decision, "units": seen.units}
        yield _circumstance("run final", each, seen.time, partial(_said, each, seen, sentence, numbers))


def _no_exposures(each: RunWatched, now: int) -> Iterator[Circumstance]:
    """Of an open run that gives somebody a variant."""
    if not _gives(each.flag):
        return
    seen = each.seen
    exposures = seen.look.health.exposures if seen else 0
    lasted = now - (seen.exposed if seen else each.run.started)
    sentence = (
        f"{each.name} has counted no exposure for {in_words(lasted)}, {exposures:,} before: see whether its producers "
        "still send them, and whether `peekproof dead-letters` has them."
    )
    say = partial(_said, each, seen, sentence, {"exposures": exposures})
    yield _circumstance("no exposures", each, now, say, state=str(exposures), lasted=lasted)


def _no_events(each: RunWatched, now: int) -> Iterator[Circumstance]:
    """Of the metrics of an open run whose numbers stand still while units come."""
    seen = each.seen
    if seen is None:
        return
    for key, known in seen.metrics.items():
        if key in each.run.metrics and _is_missed(seen, key, known):
            metric = each.run.metrics[key]
            begins = each.run.started + max(variable.begins for variable in metric.variables)
            lasted = now - max(known.since, begins)
            came = seen.units - known.units
            events = " or ".join(dict.fromkeys(f"'{fact.event}'" for fact in metric.facts))
            sentence = (
                f"{key} of {each.name} has counted no event for {in_words(lasted)}, while {came:,} units came: see "
                f"whether {events} is still sent, as its filter wants it, under the same {each.flag.definition.unit}."
            )
            say = partial(_said, each, seen, sentence, {"metric": key, "units": seen.units})
            yield _circumstance("metric without events", each, now, say, key, state=known.digest, lasted=max(0, lasted))


def _is_missed(seen: RunSeen, metric: str, known: MetricSeen) -> bool:
    """Whether so many units came since its numbers moved last that chance does not explain it."""
    cells = live_cells(seen.look, metric)
    if not cells or all(cell.is_read for cell in cells) or any(cell.status in UNKNOWN for cell in cells):
        return False
    came = seen.units - known.units
    units = cells[0].control_n + sum(cell.n for cell in cells)
    nonzero = cells[0].control_nonzero + sum(cell.nonzero for cell in cells)
    return came * nonzero / units >= RARE if nonzero else came >= FEW


def _tells_all(flag: FlagInForce, work: Work) -> bool:
    """Whether looks at a flag's runs tell everything that has come, but for the last minutes."""
    most = OCCURRENCES["lag"].above or 0
    return all(work.keeps_up(stage, most) for stage in stages_to_look(flag.definition))


def _is_open(each: RunWatched) -> bool:
    return each.flag.status == "running" and each.run.completed is None and bool(each.run.definition.metrics)


def _gives(flag: FlagInForce) -> bool:
    allocation = flag.allocation
    return allocation is not None and bool(allocation.rollout or any(each.rollout for each in allocation.segments))


def _deciding(each: RunWatched, seen: RunSeen, role: GoalRole) -> list[Cell]:
    """The cells of goals with that role on which the verdict rests."""
    metrics = each.run.metrics
    keys = {goal.metric for goal in each.run.definition.metrics if goal.role == role and goal.metric in metrics}
    return [cell for cell in seen.look.cells if cell.metric in keys and is_deciding(cell, metrics)]


def _p_value(cell: Cell) -> float:
    return 1.0 if cell.running_p_value is None else cell.running_p_value


def _said(each: RunWatched, seen: RunSeen | None, sentence: str, numbers: dict[str, Any]) -> Wording:
    return Wording(sentence, numbers, each.run.key, seen.look.look if seen else None, each.flag.version)


def _circumstance(
    event: Occurrence, each: RunWatched, at: int, say: Callable[[], Wording], *parts: str, **more: Any
) -> Circumstance:
    subject = f"flag/{each.run.flag}"
    part = "/".join([each.run.key, *parts])
    return Circumstance(event, subject, at, say, part, document=each.flag.definition, **more)


_OF_LOOKS: dict[Occurrence, Callable[[RunWatched, RunSeen, int], Iterator[Circumstance]]] = {
    "verdict changed": _verdict,
    "guardrail harmed": _harm,
    "split broken": _split,
    "exposures of an old run": _old_run,
    "data missing": _data,
    "planned sample reached": _sample,
    "run final": _final,
}
