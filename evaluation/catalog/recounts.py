"""Recounts: what a run becomes that is counted again from its start, and why one can't be.

A generation that is coming reads what the documents say when it begins, of every unit since the start; from then on
both generations follow the documents as any run does. What was chosen after the start is exploratory. A run that is
complete keeps what it had, as it was; what its document adds comes beside that. Of a flag one run is recounted at a
time: the newest recount gives up one that is on its way.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import msgspec

from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from schemas.catalog import Breakdown, Flag
from schemas.recount import Recount

NEVER = 1 << 62  # ms UTC: beyond every start


def why_not(flag: FlagInForce, run: str) -> str | None:
    """Why a run cannot be recounted; None: it can."""
    key = flag.definition.key
    newest = flag.runs[-1] if flag.runs else None
    if newest is None or newest.key != run:
        return f"'{key}' has no run '{run}' that is its newest; name that one"
    if newest.definition.identity:
        return (
            f"{run} of '{key}' counts events of people by their {newest.definition.identity}, and whose they were does "
            f"not stand in the archive of events; ask `peekproof explore {key}`, which answers for it too"
        )
    if newest.completed is not None and (lacking := _lacking(flag.definition, newest.definition)):
        return (
            f"{run} of '{key}' is complete and keeps what it had, but the document no longer lists "
            f"{', '.join(map(repr, lacking))}; list that again beside what is added, or ask `peekproof explore {key}`"
        )
    return None


def flag_after(catalog: Catalog, recount: Recount, offset: int) -> FlagInForce:
    """The flag after a version of its recount, which stands at that offset. Raises ValueError where none can be."""
    flag = catalog.flags.get(recount.key)
    if flag is None:
        raise ValueError(f"there is no flag '{recount.key}' to recount")
    if recount.state == "begun":
        if reason := why_not(flag, recount.run):
            raise ValueError(reason)
        run = flag.runs[-1]
        alone = replace(flag, runs=tuple(replace(each, coming=None) if each.coming else each for each in flag.runs))
        return _with(alone, replace(run, coming=_begun(flag, run, catalog.metrics, offset)))
    run = next((each for each in flag.runs if each.key == recount.run and each.coming), None)  # type: ignore[assignment]
    if run is None or run.coming is None:
        raise ValueError(f"run '{recount.run}' of '{recount.key}' is not being recounted: nothing is {recount.state}")
    return _with(flag, replace(run, coming=None) if recount.state == "stopped" else run.coming)


def _with(flag: FlagInForce, run: RunInForce) -> FlagInForce:
    return replace(flag, runs=tuple(run if each.key == run.key else each for each in flag.runs))


def _lacking(document: Flag, had: Flag) -> list[str]:
    """What a run had that the document does not list any more."""
    listed = {goal.metric for goal in document.metrics} | {each.property for each in document.breakdowns}
    return [
        name
        for name in (*(goal.metric for goal in had.metrics), *(each.property for each in had.breakdowns))
        if name not in listed
    ]


def _begun(flag: FlagInForce, run: RunInForce, metrics: Mapping[str, MetricInForce], offset: int) -> RunInForce:
    """The generation that is coming: by the flag's document as it stands, from the run's start on."""
    definition = flag.definition
    if run.completed is not None:
        definition, metrics = _beside(run.definition, definition), {**metrics, **run.metrics}
    read = {goal.metric: metrics[goal.metric] for goal in definition.metrics}
    return replace(
        run,
        since=dict.fromkeys(read, run.started),
        definition=definition,
        metrics={key: replace(metric, recorded=min(metric.recorded, run.started)) for key, metric in read.items()},
        generation=offset,
        coming=None,
        exploratory=dict(_exploratory(flag, run, read, definition.breakdowns)),
    )


def _beside(had: Flag, document: Flag) -> Flag:
    """What a complete run was by, and what its document lists beside that."""
    goals = {goal.metric: goal for goal in had.metrics}
    breakdowns = {each.property: each for each in had.breakdowns}
    return msgspec.structs.replace(
        had,
        metrics=tuple(goals.get(goal.metric, goal) for goal in document.metrics),
        breakdowns=tuple(breakdowns.get(each.property, each) for each in document.breakdowns),
    )


def _exploratory(
    flag: FlagInForce, run: RunInForce, read: Mapping[str, MetricInForce], breakdowns: Iterable[Breakdown]
) -> Iterator[tuple[str, int]]:
    """What is read that was not in the run from its start on, with the version that had planned it."""
    began = run.allocations[0].flag_version
    for key, metric in read.items():
        if run.since.get(key, run.started + 1) > run.started or key in run.exploratory:
            yield key, _planned(flag, (key, metric.version), began)
    for each in breakdowns:
        if each not in run.definition.breakdowns or each.property in run.exploratory:
            yield each.property, _planned(flag, each, began)


def _planned(flag: FlagInForce, what: tuple[str, int] | Breakdown, began: int) -> int:
    version = flag.listed.get(what, began)
    return version if version < began else 0


def listed_after(
    listed: Mapping[tuple[str, int] | Breakdown, int], flag: Flag, metrics: Mapping[str, MetricInForce], version: int
) -> dict[tuple[str, int] | Breakdown, int]:
    """What versions of a flag's document have listed, after one more."""
    now: list[tuple[str, int] | Breakdown] = [*flag.breakdowns]
    now += [(goal.metric, metrics[goal.metric].version) for goal in flag.metrics if goal.metric in metrics]
    return dict.fromkeys(now, version) | dict(listed)


def reading(metric: MetricInForce, known: RunInForce | None) -> MetricInForce:
    """A metric as a run reads it: one that was recounted has had its past since the start."""
    before = known.metrics.get(metric.definition.key) if known and known.generation else None
    if before is None or before.version != metric.version:
        return metric
    return replace(metric, recorded=before.recorded)


def coming(catalog: Catalog) -> dict[int, RunInForce]:
    """Every generation that is coming, by its number."""
    runs = (run.coming for flag in catalog.flags.values() for run in flag.runs)
    return {run.generation: run for run in runs if run}


def short_of(flag: FlagInForce) -> list[str]:
    """What a flag's document lists and its newest run does not count from its start on; none where it has no run."""
    if not flag.runs:
        return []
    run = flag.runs[-1]
    document = flag.definition if run.completed is None else _beside(run.definition, flag.definition)
    metrics = [goal.metric for goal in document.metrics if run.since.get(goal.metric, NEVER) > run.started]
    return [*metrics, *(each.property for each in document.breakdowns if each not in run.definition.breakdowns)]


def consequences_of(flag: FlagInForce, run: RunInForce) -> Iterator[str]:
    """Of a generation that begins to come, of a flag as it was before."""
    goes_on = "goes on" if run.completed is None else "stays"
    yield (
        f"{run.key} of '{run.flag}' is counted again from its start, by what is archived; it {goes_on} as it is until "
        "that has caught up, and then changes in one look. `peekproof recount list` tells how far it is"
    )
    yield from (
        f"the recount of {each.key} that is on its way is given up; {each.key} stays as it is"
        for each in flag.runs
        if each.coming and each.key != run.key
    )
    for name, version in run.exploratory.items():
        if version:
            yield f"'{name}' was planned before the start, by version {version}: it decides as any other"
        else:
            yield f"'{name}' was chosen after the start: it is exploratory, and decides nothing"


def recounted(catalog: Catalog) -> Iterator[tuple[RunInForce, Catalog]]:
    """Every generation but first ones, in force or to come, and a catalog that has it alone, as if it were first."""
    for key, flag in catalog.flags.items():
        for run in (each for one in flag.runs for each in one.generations if each.generation):
            alone = replace(flag, runs=(replace(run, generation=0, coming=None),))
            yield run, replace(catalog, flags={key: alone}, metrics={})
