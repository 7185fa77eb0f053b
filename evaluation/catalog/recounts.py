"""Recounts: what a run becomes that is counted again from its start, and why one can't be.

A generation that is coming reads what the documents say when it begins, of every unit since the start; from then on
both generations follow the documents as any run does. What was chosen after the start is exploratory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from schemas.catalog import Breakdown, Flag
from schemas.recount import Recount


def why_not(flag: FlagInForce, run: str) -> str | None:
    """Why a run cannot be recounted; None: it can."""
    key = flag.definition.key
    newest = flag.runs[-1] if flag.runs else None
    if newest is None or newest.key != run:
        return f"'{key}' has no run '{run}' that is its newest; name that one"
    if newest.completed is not None:
        return (
            f"{run} of '{key}' is complete, and what it measures stands; explore it, or restart the experiment for "
            "another run"
        )
    if newest.definition.identity:
        return (
            f"{run} of '{key}' counts events of people by their {newest.definition.identity}, and whose they were does "
            "not stand in the archive of events; what is added to it counts from now on"
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
        return _with(flag, replace(run, coming=_begun(flag, run, catalog.metrics, offset)))
    run = next((each for each in flag.runs if each.key == recount.run and each.coming), None)  # type: ignore[assignment]
    if run is None or run.coming is None:
        raise ValueError(f"run '{recount.run}' of '{recount.key}' is not being recounted: nothing is {recount.state}")
    return _with(flag, replace(run, coming=None) if recount.state == "stopped" else run.coming)


def _with(flag: FlagInForce, run: RunInForce) -> FlagInForce:
    return replace(flag, runs=tuple(run if each.key == run.key else each for each in flag.runs))


def _begun(flag: FlagInForce, run: RunInForce, metrics: Mapping[str, MetricInForce], offset: int) -> RunInForce:
    """The generation that is coming: by the flag's document as it stands, from the run's start on."""
    read = {goal.metric: metrics[goal.metric] for goal in flag.definition.metrics}
    return replace(
        run,
        since=dict.fromkeys(read, run.started),
        definition=flag.definition,
        metrics={key: replace(metric, recorded=min(metric.recorded, run.started)) for key, metric in read.items()},
        generation=offset,
        coming=None,
        exploratory=dict(_exploratory(flag, run, read)),
    )


def _exploratory(flag: FlagInForce, run: RunInForce, read: Mapping[str, MetricInForce]) -> Iterator[tuple[str, int]]:
    """What of the flag's document was not in the run from its start on, with the version that had planned it."""
    began = run.allocations[0].flag_version
    for key, metric in read.items():
        if run.since.get(key, run.started + 1) > run.started or key in run.exploratory:
            yield key, _planned(flag, (key, metric.version), began)
    for each in flag.definition.breakdowns:
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
    """What a flag's document lists and its open run does not count from its start on; none where none is open."""
    if flag.status != "running":
        return []
    run = flag.runs[-1]
    metrics = [goal.metric for goal in flag.definition.metrics if run.since.get(goal.metric, 0) > run.started]
    return [*metrics, *(each.property for each in flag.definition.breakdowns if each not in run.definition.breakdowns)]


def consequences_of(run: RunInForce) -> Iterator[str]:
    """Of a generation that begins to come."""
    yield (
        f"{run.key} is counted again from its start on, by what the archive holds; it goes on as it is until that has "
        "caught up, and then changes in one look. `peekproof recount list` tells how far it is"
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
