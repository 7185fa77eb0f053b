"""Explore: a question put to a run, answered from the archive."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.assignment.looking import topics_of
from evaluation.catalog.history import History
from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.catalog.sources import read_sources
from evaluation.exploring.answer import Exploration
from evaluation.exploring.asked_metrics import OF_EVENTS, asked_metrics, event_slices, with_keys
from evaluation.exploring.entry_values import EntryValues
from evaluation.exploring.exploration import AskedMetric, FoldedRun, explored
from evaluation.exploring.question import MOMENTS, ExploreQuestion, QuestionError
from evaluation.flags.conditions import ConditionError
from pipeline.errors import PeekproofError
from pipeline.exploring.found_values import FoundValues
from pipeline.exploring.run_fold import Progress, RunFold
from pipeline.questions.reading import TimeBound, said, told_expired
from pipeline.registry.kept import KeptSchemas
from schemas.numbers import LATEST
from schemas.topics import EVENTS, EXPOSURES

FOREVER = 1e9  # seconds
FINDING = 0.3  # of the time, in which values are found


def explore(  # noqa: PLR0917
    directory: Path,
    history: History,
    experiment: str,
    run: str | None,
    question: ExploreQuestion,
    horizon: int,
    tolerance: int,
    seconds: float = FOREVER,
    kept: KeptSchemas | None = None,
    tell: Progress = lambda *_: None,
) -> Exploration:
    """The answer; read for at most so long, it is of the run up to when time was over. Raises PeekproofError."""
    asked_run = run_of(history, experiment, run)
    try:
        return _explored(directory, history, asked_run, question.checked(), horizon, tolerance, seconds, kept, tell)
    except (QuestionError, ConditionError) as error:
        raise PeekproofError(str(error)) from None


def run_of(history: History, experiment: str, run: str | None) -> RunInForce:
    """The run of that name, or the newest one. Raises PeekproofError where there is none."""
    flags = history.newest.flags
    if experiment not in flags:
        raise PeekproofError(f"'{experiment}' is no experiment; {did_you_mean(experiment, flags)}")
    runs = {each.key: each for each in flags[experiment].runs}
    if not runs:
        raise PeekproofError(f"'{experiment}' has never been started, or its start is not archived yet")
    if run is not None and run not in runs:
        raise PeekproofError(f"'{run}' is no run of '{experiment}'; {did_you_mean(run, runs)}")
    return runs[run] if run else runs[[*runs][-1]]


def _explored(  # noqa: PLR0917
    directory: Path,
    history: History,
    run: RunInForce,
    question: ExploreQuestion,
    horizon: int,
    tolerance: int,
    seconds: float,
    kept: KeptSchemas | None,
    tell: Progress,
) -> Exploration:
    bound, notes = TimeBound(seconds), list[str]()
    catalog = history.newest
    asked = asked_metrics(question, catalog, run)
    sources = read_sources(history, horizon)
    until = LATEST if question.until is None else question.until
    finding = FoundValues(directory, run.started, until, sources, kept, TimeBound(FINDING * seconds))
    plain = [*asked]
    for name in question.by_event:
        events = {fact.event for each in plain for fact in each.metric.facts}
        found = finding.values(events, name)
        has_others = len(found) > question.most or finding.is_cut
        asked += event_slices(plain, name, found[: question.most], has_others=has_others)
    asked = [*with_keys(asked)]
    properties = [each for together in question.by for each in together if each not in MOMENTS]
    if question.split and not question.by:
        properties = finding.properties(run.flag)
    where = [each for each in question.where if not each.property.startswith(OF_EVENTS)]
    values = EntryValues(properties, where)
    fold = RunFold(directory, history, run, asked, values, horizon, tolerance, question.until, kept)
    folded = fold.fold(bound, tell)
    if folded is None and not fold.is_whole:
        raise PeekproofError(
            f"reading took more than {seconds:g} s, and nothing can be said of what was read; ask again when the "
            "machine is less busy, for less, or by `peekproof explore`, which takes as long as it takes"
        )
    if folded is None:
        raise PeekproofError(
            f"nothing of {run.flag}/{run.key} is archived: no unit has entered, or it takes an interval until the "
            "archive has it"
        )
    if not fold.is_whole:
        notes.append(
            f"reading took more than {seconds:g} s, and was cut off: the run as of {said(folded.watermark)}, but that "
            "exposures which came later are known, and a few events"
        )
    if finding.is_cut:
        notes.append("the values of events were found in a part of them, by which the largest were chosen")
    notes += told_expired(directory, (EXPOSURES, EVENTS, *topics_of(sources)), run.started)
    notes += _sought_in_vain(run, asked, folded, finding)
    if run.definition.analysis.cuped and any(each.lookback for each in run.metrics.values()):
        notes.append("numbers are those before adjustment: the scorecard's effects of metrics with CUPED are adjusted")
    return explored(question, run, asked, folded, notes)


def _sought_in_vain(
    run: RunInForce, asked: Sequence[AskedMetric], folded: FoldedRun, finding: FoundValues
) -> Iterator[str]:
    """Sentences: which properties no exposure tells, of which metrics no event was counted, and what there is."""
    if untold := [_short(each) for each in folded.values.untold]:
        there = [*map(_short, finding.properties(run.flag))]
        for name in untold:
            yield f"no exposure that was read tells `{name}`{_but(name, there)}"
    counted = {each.metric: each.events for each in folded.aggregate.metrics}
    events = {fact.event for each in asked if not counted.get(each.metric.definition.key) for fact in each.metric.facts}
    there = finding.events() if events else []
    for event in sorted(events):
        is_there = event in there
        yield (
            f"no event `{event}` of these units was counted"
            if is_there
            else f"there is no event `{event}`{_but(event, there)}"
        )


def _short(name: str) -> str:
    """A property of units as people call it."""
    return name.removeprefix("user_properties.")


def _but(name: str, there: Sequence[str]) -> str:
    return f"; {did_you_mean(name, there)}" if there else ""
