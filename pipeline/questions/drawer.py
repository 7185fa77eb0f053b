"""Drawer: what is behind a metric's row of a scorecard: the units' numbers, their growth since entry, a funnel's steps.

The run is folded from the archive by the stage's own kernels, as a run that reads the metric several times: with its
own window, and with shorter ones. Units lie in partitions by their hashes, so where time is short, the partitions that
were read whole are a sample of the units.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.catalog.logs import LogsInForce
from evaluation.metrics.contribution import OTHER
from evaluation.metrics.partition import Partition
from evaluation.metrics.unit_numbers import UnitNumbers
from pipeline.questions.histogram import Histogram, edges_of, histogram
from pipeline.questions.reading import TimeBound, pieces_of, said
from pipeline.questions.unit_log import UnitLog, of_runs
from pipeline.storage.archived import partitions
from schemas.aggregate import Sums
from schemas.look import EVERYONE
from schemas.topics import UNITS

AGE = "{metric}@{age}"  # the key of the metric with a window of `age` ms; no document's key has this sign


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What units came to within so long after their entry, of those that entered so long ago; null: there are none."""

    units: int
    mean: float | None


class ArmDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: its units with a number, and their mean so far (of a ratio that of all units together).

    `growth` goes with the drawer's `ages`, `reached` with its `steps`: how many units have done that step, and those
    before it.
    """

    variant: str
    units: int
    mean: float | None
    distribution: Histogram
    growth: list[Grown]
    reached: list[int]


class Drawer(msgspec.Struct, frozen=True, kw_only=True):
    """The units of a run by a metric, up to `as_of` (ms UTC): the archive lags by up to an interval.

    `edges` are those of every arm's `distribution`, `ages` (ms since entry) those of every `growth`; `steps` are the
    events of a funnel. `sampled` is the share of the run's units that was read, by their hashes. `notes` say what else
    a reader should know.
    """

    experiment: str
    run: str
    metric: str
    segment: str
    as_of: int
    sampled: float
    edges: list[float]
    ages: list[int]
    steps: list[str]
    arms: list[ArmDrawn]
    notes: list[str]


def drawer(  # noqa: PLR0917
    directory: Path,
    logs_in_force: LogsInForce | None,
    run: RunInForce,
    metric: str,
    segment: str,
    now: int,
    seconds: float,
) -> Drawer:
    """What is behind a metric of a run, in a segment (`property=value`, or `all`); read for at most so long."""
    bound, read, numbers = TimeBound(seconds), run.metrics[metric], partitions(directory, UNITS)
    ages = _ages(run, read, now)
    aged = {AGE.format(metric=metric, age=age): _within(read, age) for age in ages}
    since = dict.fromkeys(aged, run.since[metric]) | run.since
    asked = replace(run, metrics={metric: read} | aged, since=since)
    logs: list[UnitLog] = []
    for number in numbers:
        log = UnitLog(directory, number, of_runs([asked], logs_in_force), run.started)
        log.fold(bound)
        if log.partition is not None and (log.is_whole or not logs):
            logs.append(log)
        if not log.is_whole:
            break
    folded = [log.partition for log in logs if log.partition]
    arms = _arms(run, read, [each for part in folded if (each := part.numbers(run.flag, run.key, metric))], segment)
    edges = edges_of(
        np.concatenate([np.zeros(0), *(arm.values for arm in arms.values())]),
        is_whole=len(read.variables) == 1 and read.variables[0].type not in ("sum", "mean"),
    )
    growth = _growth(folded, aged, segment)
    steps = [fact.event for fact in read.variables[0].facts] if read.variables[0].type == "funnel" else []
    return Drawer(
        experiment=run.flag,
        run=run.key,
        metric=metric,
        segment=segment,
        as_of=min((log.reached for log in logs), default=0),
        sampled=len(logs) / len(numbers) if numbers else 0.0,
        edges=edges,
        ages=ages,
        steps=steps,
        arms=[
            ArmDrawn(
                variant=variant,
                units=arm.units,
                mean=arm.mean,
                distribution=histogram(arm.values, edges),
                growth=[growth.get((key, variant), Grown(units=0, mean=None)) for key in aged],
                reached=[int((arm.steps > step).sum()) for step in range(len(steps))],
            )
            for variant, arm in arms.items()
        ],
        notes=[*_notes(run, read, arms.values(), logs, len(numbers), seconds)],
    )


def _ages(run: RunInForce, metric: MetricInForce, now: int) -> list[int]:
    """Up to the window's end, or to where there may be units that entered so long ago."""
    elapsed = max(0, now - run.started)
    longest = elapsed if metric.window is None else min(metric.window, elapsed)
    step = pieces_of(longest)
    return [*range(step, longest + 1, step)]


def _within(metric: MetricInForce, age: int) -> MetricInForce:
    return replace(metric, definition=msgspec.structs.replace(metric.definition, window=f"{age}ms"))


class _Arm(NamedTuple):
    """A variant's units that count: their numbers, of a ratio the quotients where there is one, and funnel's steps."""

    units: int
    mean: float | None
    values: NDArray[np.float64]
    steps: NDArray[np.int64]
    without_quotient: int


def _arms(run: RunInForce, metric: MetricInForce, parts: Sequence[UnitNumbers], segment: str) -> dict[str, _Arm]:
    """By variant, in the document's order."""
    scales = [10.0**variable.places for variable in metric.variables]
    arms = {}
    for variant in (each.key for each in run.definition.variants):
        kept = [_of_variant(run, part, variant, segment) for part in parts]
        numbers = np.concatenate(
            [np.zeros((0, len(scales)), np.int64), *(p.numbers[k] for p, k in zip(parts, kept, strict=True))]
        )
        steps = np.concatenate([np.zeros(0, np.int64), *(p.steps[k] for p, k in zip(parts, kept, strict=True))])
        values = numbers / scales
        totals = [sum(numbers[:, i].tolist()) / scale for i, scale in enumerate(scales)]
        of = values[:, 0]
        below: float = len(of)
        if len(scales) > 1:
            is_there = values[:, 1] != 0
            of, below = values[is_there, 0] / values[is_there, 1], totals[1]
        mean = totals[0] / below if below else None
        arms[variant] = _Arm(len(values), mean, of, steps, len(values) - len(of))
    return arms


def _of_variant(run: RunInForce, part: UnitNumbers, variant: str, segment: str) -> NDArray[np.bool_]:
    arms = [number for number, (_, each) in enumerate(part.arms) if each == variant]
    kept = part.counts & np.isin(part.arm, arms)
    if segment == EVERYONE:
        return kept
    name, _, value = segment.partition("=")
    place = next(i for i, each in enumerate(run.definition.breakdowns) if each.property == name)
    values = run.definition.breakdowns[place].values
    return kept & part.are_in(place, 0 if value == OTHER else values.index(value) + 1)


def _growth(parts: Iterable[Partition], aged: dict[str, MetricInForce], segment: str) -> dict[tuple[str, str], Grown]:
    """By metric and variant, by the settled sums: of units whose time is over."""
    sums: defaultdict[tuple[str, str], list[Sums]] = defaultdict(list)
    for part in parts:
        for aggregate in part.aggregates():
            for each in aggregate.sums:
                if each.metric in aged and each.reading == "settled" and each.segment == segment:
                    sums[each.metric, each.variant].append(each)
    grown = {}
    for (key, variant), some in sums.items():
        units = sum(each.n for each in some)
        totals = [
            sum(int(each.first[i]) for each in some) / 10**variable.places
            for i, variable in enumerate(aged[key].variables)
        ]
        below = totals[1] if len(totals) > 1 else units
        grown[key, variant] = Grown(units=units, mean=totals[0] / below if below else None)
    return grown


def _notes(  # noqa: PLR0917
    run: RunInForce,
    metric: MetricInForce,
    arms: Iterable[_Arm],
    logs: Sequence[UnitLog],
    partitions_there: int,
    seconds: float,
) -> Iterator[str]:
    if not logs:
        yield f"nothing of this run was read in time, {seconds:g} s, or nothing is archived yet: it takes an interval"
    elif not logs[-1].is_whole:
        yield (
            f"reading took more than {seconds:g} s, and was cut off: these are the units of 1 of {partitions_there} "
            f"partitions, and what they did up to {said(logs[-1].reached)}"
        )
    elif len(logs) < partitions_there:
        yield (
            f"reading took more than {seconds:g} s, and was cut off: this is a sample, the units of {len(logs)} of "
            f"{partitions_there} partitions"
        )
    if len({tuple(each.weights.items()) for each in run.allocations}) > 1:
        yield "the split was changed during the run: arms of several allocations are together here"
    if without := sum(arm.without_quotient for arm in arms):
        yield f"{without:,} units have a denominator of 0: they are in the mean, but in no bin"
    if run.definition.analysis.cuped and metric.lookback is not None:
        yield (
            "these are the numbers before adjustment: the scorecard's effects are those of CUPED, which takes out what "
            "units did before their entry"
        )
    if metric.definition.log:
        yield "numbers are logarithms, as the metric has them"
