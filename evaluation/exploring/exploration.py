"""Exploration: the answer to a question, from what the stage's kernels made of a run's units. The pure part of it.

Every number of a unit is the aggregation's own; here units are only put together by slices, and compared as looks
compare arms. Settled are those whose window, and a horizon, are over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import MetricInForce, RunInForce, control_of
from evaluation.columns.arrays import Mask
from evaluation.exploring.answer import Correction, Exploration, ExploredCell, Family, SliceDifference, SplitSearch
from evaluation.exploring.broken_split import SplitUnits, broken_split
from evaluation.exploring.entry_values import EntryValues
from evaluation.exploring.heterogeneity import cochran_q
from evaluation.exploring.question import ExploreQuestion
from evaluation.exploring.slice_sums import slice_sums
from evaluation.exploring.slices import Slices, slices
from evaluation.metrics.unit_numbers import UnitNumbers
from evaluation.significance import mixture, multiplicity
from evaluation.significance.cells import ArmKey, Lost, cells
from evaluation.significance.health import health
from evaluation.significance.moments import ArmMoments
from evaluation.significance.sample_size import planned_units
from schemas.aggregate import Aggregate
from schemas.catalog import Breakdown, Goal
from schemas.look import EVERYONE, Cell, Reading

MOST_SEARCHED = 200  # slices of one property, for what breaks a split
_CORRECTIONS = {
    "bonferroni": multiplicity.bonferroni,
    "holm": multiplicity.holm,
    "benjamini-hochberg": multiplicity.benjamini_hochberg,
}


class AskedMetric(NamedTuple):
    """A metric that was asked for, as people call it; of a slice of its events the property and value (`of_event`)."""

    name: str
    metric: MetricInForce
    of_event: tuple[str, str] | None = None


class FoldedRun(NamedTuple):
    """What the stages made of a run: its members with no numbers, those with each metric's, and its aggregate.

    `watermark` is the append time reached (ms UTC), `settled` that before which all is complete; `read` are the events
    that were looked at. Where time did not suffice (`is_whole`), it is the run as it stood at the watermark, but
    that exposures which came later are known, and a few events.
    """

    members: UnitNumbers
    numbers: Mapping[str, UnitNumbers]
    aggregate: Aggregate
    values: EntryValues
    watermark: int
    settled: int
    read: int
    is_whole: bool


def explored(
    question: ExploreQuestion, run: RunInForce, asked: Sequence[AskedMetric], folded: FoldedRun, notes: Sequence[str]
) -> Exploration:
    """The answer. `run` is as it stands."""
    members, values = folded.members, folded.values
    meets = values.met(members.segments)
    meets &= members.entry >= (question.since or 0)
    if not folded.is_whole:
        meets &= members.entry <= folded.watermark
    is_in = meets & ~members.is_jumper
    kept = [slices(by, values, members.segments, members.entry, is_in, question.most) for by in question.by]
    supposed = _supposed(run, asked, kept)
    believed = health(supposed, [folded.aggregate], None)
    family = _family(run, asked, kept) if asked else None
    made: list[ExploredCell] = []
    if family is not None:
        arms = _arms(asked, kept, folded, meets)
        supposed = _at_level(supposed, family.level)
        withheld = {each.metric: each.withheld for each in folded.aggregate.metrics}
        found, _ = cells(supposed, supposed.metrics, arms, Lost(withheld, believed.losses or ()), {})
        made = _adjusted([*_explored(found, asked, kept, question)], family)
    told = [*notes]
    if values.is_cut:
        told.append("a property has more than 1,000 values: those that came after them are `(other)`")
    split = _split(question, run, folded, is_in, kept) if question.split else None
    return Exploration(
        experiment=run.flag,
        run=run.key,
        as_of=folded.watermark,
        units=int(is_in.sum()),
        read=folded.read,
        counted=sum(each.events for each in folded.aggregate.metrics),
        analysis=run.definition.analysis,
        family=family,
        cells=made,
        differences=_differences(made),
        split=split,
        health=believed,
        notes=told,
    )


def reading_of(metric: MetricInForce, question: ExploreQuestion) -> Reading:
    """The one that is asked for: where it decides, that is of settled units if the metric has a window."""
    return "live" if metric.window is None or question.reading == "live" else "settled"


def _family(run: RunInForce, asked: Sequence[AskedMetric], kept: Sequence[Slices]) -> Family:
    """Each metric is compared for everyone and in each slice, each slice of its events for everyone."""
    treatments = max(1, len(run.definition.variants) - 1)
    inside = 1 + sum(len(each.inhabited) for each in kept)
    comparisons = treatments * sum(1 if each.of_event else inside for each in asked)
    analysis = run.definition.analysis
    shares = analysis.correction != "none" and analysis.method != "bayesian"
    correction: Correction = analysis.correction if shares else "none"
    level = analysis.alpha / comparisons if shares else analysis.alpha
    return Family(comparisons=comparisons, correction=correction, alpha=analysis.alpha, level=level)


def _supposed(run: RunInForce, asked: Sequence[AskedMetric], kept: Sequence[Slices]) -> RunInForce:
    """The run as if its document had asked all this: its metrics as goals, its slices as breakdowns by their places."""
    metrics = {each.metric.definition.key: each.metric for each in asked}
    known = {goal.metric: goal for goal in run.definition.metrics}
    goals = tuple(
        Goal(metric=key, direction=known[key].direction if key in known else "increase", exact=False) for key in metrics
    )
    weights = run.allocations[0].weights
    control = control_of(run.definition)
    treatments = [each.key for each in run.definition.variants if each.key != control]
    planned = [planned_units(run.definition, weights, run.metrics, each) for each in treatments]
    analysis = msgspec.structs.replace(
        run.definition.analysis,
        correction="none",
        sided="two",
        cuped=False,
        strata=None,
        planned_units=max((each for each in planned if each), default=mixture.PLANNED_UNITS),
    )
    breakdowns = tuple(
        Breakdown(property=str(at), values=tuple(map(str, range(1, len(each.values))))) for at, each in enumerate(kept)
    )
    definition = msgspec.structs.replace(run.definition, metrics=goals, breakdowns=breakdowns, analysis=analysis)
    return replace(run, metrics=metrics, since=dict.fromkeys(metrics, run.started), definition=definition)


def _at_level(run: RunInForce, level: float) -> RunInForce:
    analysis = msgspec.structs.replace(run.definition.analysis, alpha=level)
    return replace(run, definition=msgspec.structs.replace(run.definition, analysis=analysis))


def _arms(
    asked: Sequence[AskedMetric], kept: Sequence[Slices], folded: FoldedRun, meets: Mask
) -> dict[ArmKey, ArmMoments]:
    """The exact sums of every arm, in every slice."""
    found: dict[ArmKey, ArmMoments] = {}
    for each in asked:
        key = each.metric.definition.key
        numbers = folded.numbers[key]
        readings: list[tuple[Reading, Mask]] = [("live", meets & numbers.counts)]
        if each.metric.window is not None:
            # As the settling kernel has it: see evaluation.metrics.kernels.settle.
            is_over = numbers.entry < folded.settled - each.metric.window
            readings.append(("settled", meets & numbers.counts & is_over))
        for reading, mask in readings:
            for segment, arm, moments in _by_slice(numbers, mask, () if each.of_event else kept):
                if moments.n:
                    found[key, reading, segment, *numbers.arms[arm]] = moments
    return found


def _by_slice(numbers: UnitNumbers, mask: Mask, kept: Sequence[Slices]) -> Iterator[tuple[str, int, ArmMoments]]:
    """The segments of a supposed run, as `cells.segments` names them."""
    arms = max(1, len(numbers.arms))
    whole = slice_sums(numbers.numbers, np.where(mask, numbers.arm, -1), arms)
    yield from ((EVERYONE, arm, moments) for arm, moments in enumerate(whole))
    for at, each in enumerate(kept):
        cell = np.where(mask, each.code * arms + numbers.arm, -1)
        for place, moments in enumerate(slice_sums(numbers.numbers, cell, arms * len(each.values))):
            value, arm = divmod(place, arms)
            yield f"{at}={value or '(other)'}", arm, moments


def _explored(
    found: Sequence[Cell], asked: Sequence[AskedMetric], kept: Sequence[Slices], question: ExploreQuestion
) -> Iterator[ExploredCell]:
    """The cells of the readings and slices that were asked for, with the names that people know."""
    of_key = {each.metric.definition.key: each for each in asked}
    for cell in found:
        each = of_key[cell.metric]
        if cell.reading != reading_of(each.metric, question):
            continue
        if cell.segment == EVERYONE:
            by, value = (each.of_event[:1], each.of_event[1:]) if each.of_event else ((), ())
            yield ExploredCell(metric=each.name, by=by, slice=value, is_of_events=bool(each.of_event), cell=cell)
        elif not each.of_event:
            at, _, code = cell.segment.partition("=")
            breakdown, place = kept[int(at)], int(code) if code.isdigit() else 0
            if place in breakdown.inhabited:
                yield ExploredCell(metric=each.name, by=breakdown.by, slice=breakdown.values[place], cell=cell)


def _adjusted(made: Sequence[ExploredCell], family: Family) -> list[ExploredCell]:
    """With p-values corrected over the family: of what has none yet nothing is known, so it counts as 1."""
    p_values = np.ones(family.comparisons)
    said = [1.0 if each.cell.p_value is None else each.cell.p_value for each in made]
    p_values[: len(said)] = said
    correct = _CORRECTIONS.get(family.correction)
    adjusted = correct(p_values) if correct else p_values
    return [
        each if each.cell.p_value is None else msgspec.structs.replace(each, adjusted_p_value=float(p))
        for each, p in zip(made, adjusted.tolist(), strict=False)
    ]


def _differences(made: Sequence[ExploredCell]) -> list[SliceDifference]:
    """Of each metric, treatment and breakdown of units whether the slices differ."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for each in made:
        cell = each.cell
        if each.by and not each.is_of_events and cell.status == "ok" and cell.standard_error:
            groups.setdefault((each.metric, cell.variant, each.by), []).append(cell)
    found = []
    for (metric, variant, by), its in groups.items():
        if len(its) < 2:
            continue
        statistic, p_value = cochran_q(
            [each.estimate or 0.0 for each in its], [(each.standard_error or 1.0) ** 2 for each in its]
        )
        found.append((metric, variant, by, len(its), statistic, p_value))
    adjusted = multiplicity.holm([each[-1] for each in found]).tolist() if found else []
    return [
        SliceDifference(
            metric=metric,
            variant=variant,
            by=by,
            slices=number,
            statistic=statistic,
            p_value=p_value,
            adjusted_p_value=each,
        )
        for (metric, variant, by, number, statistic, p_value), each in zip(found, adjusted, strict=True)
    ]


def _split(
    question: ExploreQuestion, run: RunInForce, folded: FoldedRun, is_in: Mask, kept: Sequence[Slices]
) -> SplitSearch:
    """The search over the breakdowns that were asked for, or each property by itself, and the days and hours."""
    members = folded.members
    breakdowns = [*kept]
    if not question.by:
        searched = [*folded.values.properties, "day", "hour"]
        breakdowns = [
            slices((each,), folded.values, members.segments, members.entry, is_in, MOST_SEARCHED) for each in searched
        ]
    variants = [each.key for each in run.definition.variants]
    chances = np.array([_chances(run, variants, index) for index in range(len(run.allocations))])
    arms = np.array([(index, variants.index(name)) for index, name in members.arms] or [(0, 0)])
    of_units = members.arm[is_in]
    units = SplitUnits(variants, arms[of_units, 1], chances[arms[of_units, 0]])
    return broken_split(units, [each._replace(code=each.code[is_in]) for each in breakdowns])


def _chances(run: RunInForce, variants: Sequence[str], index: int) -> NDArray[np.float64]:
    weights = np.array([run.allocations[index].weights.get(each, 0) for each in variants], np.float64)
    return np.asarray(weights / max(1.0, weights.sum()))
