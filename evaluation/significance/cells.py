"""Cells: one row of a look for each metric, treatment and reading, computed together as columns."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from evaluation.catalog.in_force import MetricInForce, RunInForce, control_of
from evaluation.columns.arrays import Floats
from evaluation.significance import gates
from evaluation.significance.adjusting import Adjusting, beside, deciding
from evaluation.significance.comparison import (
    AskedPercentile,
    Covariate,
    Differences,
    Form,
    Measure,
    Pairs,
    Sample,
    adjustment,
    compared_percentiles,
    differences,
)
from evaluation.significance.exploratory import planned_by
from evaluation.significance.health import worst
from evaluation.significance.intervals import Coins, Intervals
from evaluation.significance.judgements import Judgements, decides
from evaluation.significance.moments import ArmMoments
from evaluation.significance.procedures import Procedure, Procedures, method_of, procedures_of
from evaluation.significance.running import Running
from evaluation.significance.strata import strata
from schemas.catalog import Allocation, Flag, Goal
from schemas.look import EVERYONE, OTHER, RULES, RUNNING, Caveat, Cell, Loss, Reading
from schemas.numbers import exact

CellKey = tuple[str, str, Reading, str]  # metric, treatment, reading, segment
RULES_OF_OTHERS = 4  # from which on cells tell numbers the other way, and clusters have a gate
_Columns = dict[str, Sequence[Any]]  # of cells, by field
ArmKey = tuple[str, str, str, int, str]  # metric, reading, segment, allocation, variant


def cell_key(cell: Cell) -> CellKey:
    """What a cell is about."""
    return cell.metric, cell.variant, cell.reading, cell.segment


def readings(metric: MetricInForce) -> tuple[Reading, ...]:
    """A metric with a window has both; without one nothing ever settles."""
    return ("live",) if metric.window is None else ("settled", "live")


def segments(flag: Flag) -> list[str]:
    """Everyone, and each value of each breakdown."""
    parts = [f"{each.property}={value}" for each in flag.breakdowns for value in (*each.values, "(other)")]
    return [EVERYONE, *parts]


def cells(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, ArmMoments],
    lost: "Lost",
    before: Mapping[CellKey, Cell],
    *,
    rules: int = RULES,
) -> tuple[list[Cell], bool]:
    """The cells of the run's `metrics`, in the order of its definition; and whether running values start again.

    `arms` holds exact sums, `lost` what is missing of them, `before` the cells of the last published look: running
    values and levels go on from there, unless the metric has been redefined or is tested in another way since.
    By `rules` of an earlier version cells say what that one said.
    """
    layout = Layout(run, rules)
    blocks = list(_blocks(run, metrics, arms, layout, tells_others=rules >= RULES_OF_OTHERS))
    rows = _Comparisons(layout, blocks, before)
    unusable = worst(lost.losses)
    compared = _Compared(layout, blocks, rows.tests, rows.known, lost)
    procedures, found, said, running = compared.procedures, compared.found, compared.said, compared.running
    is_deciding = np.array([block.is_deciding for block in rows.blocks], np.bool_)
    is_of_all = np.array([block.segment == EVERYONE and block.planned != 0 for block in rows.blocks], np.bool_)
    judgements = Judgements(
        run.definition,
        rows.goals,
        procedures,
        said,
        running,
        before=rows.known,
        is_deciding=is_deciding,
        is_alarm=~is_deciding & is_of_all & procedures.is_guardrail & (procedures.method == "exact"),
    )
    columns = {
        **rows.subjects(said, judgements),
        **rows.sums(),
        **rows.numbers(found, said, running, judgements),
        **_others(layout, rows, lost, found),
        "unusable_share": [unusable[goal.metric].share if goal.metric in unusable else UNSET for goal in rows.goals],
        "example": [_example(unusable.get(goal.metric)) for goal in rows.goals],
        "exploratory": [UNSET if block.planned != 0 else True for block in rows.blocks],
        "planned": [block.planned or UNSET for block in rows.blocks],
    }
    # By position: a struct of so many fields takes four times as long by name.
    made = map(Cell, *(columns[name] for name in Cell.__struct_fields__))
    return list(map(_as_read, made, rows.known)), rows.is_restarted


class _Compared:
    """Blocks whose arms were compared: the comparisons one after the other, as `tests` and `known` are."""

    def __init__(
        self,
        layout: "Layout",
        blocks: Sequence["_Block"],
        tests: Sequence[Procedure],
        known: Sequence[Cell | None],
        lost: "Lost",
    ) -> None:
        unusable = worst(lost.losses)
        each = [block for block in blocks for _ in layout.treatments]
        arms = [(block.totals[place], block.totals[layout.controlled]) for block in blocks for place in layout.treated]
        self.procedures = Procedures(tests)
        samples = [block.sample for block in blocks]
        percentiles = compared_percentiles(samples, layout.pairs)
        self.found = differences(samples, layout.pairs, percentiles)
        self.said = Intervals(
            self.procedures,
            self.found,
            has_data=np.array([min(t.n, c.n) > 0 for t, c in arms], np.bool_),
            is_withheld=np.array([lost.withheld.get(block.goal.metric, 0) > 0 for block in each], np.bool_),
            is_unusable=np.array([block.goal.metric in unusable for block in each], np.bool_),
            is_single=np.array([len(shares) == 1 for shares in layout.shares] * len(blocks), np.bool_),
            is_few=np.array(
                [
                    layout.is_clustered and block.is_ratio and any(map(_are_few, its))
                    for block, its in zip(each, arms, strict=True)
                ],
                np.bool_,
            ),
            coins=_coins(blocks, layout),
            percentiles=percentiles,
        )
        has_planned = self.found.n + self.found.control_n >= self.procedures.planned
        self.running = Running(self.procedures, self.said, has_planned, known)


def _are_few(arm: ArmMoments) -> bool:
    """Whether an arm's units, whose second number is their size, are too few to compare ratios by a t-test."""
    return bool(gates.are_few_clusters(arm.first[1], arm.second[len(arm.first)]))


def _others(layout: "Layout", rows: "_Comparisons", lost: "Lost", found: Differences) -> _Columns:
    """The numbers the other way, of the cells that have any: columns of all cells."""
    columns: _Columns = {}
    others = [(place, block.other) for place, block in enumerate(rows.blocks) if block.other]
    if not others:
        return dict.fromkeys(("adjusted", *OTHER, "variance_left"), [UNSET] * len(rows.blocks))
    places, blocks = [place for place, _ in others], [other for _, other in others[:: len(layout.treatments)]]
    methods = [test.method for block in blocks for test in block.tests]
    tests = [rows.tests[place]._replace(method=method) for place, method in zip(places, methods, strict=True)]
    compared = _Compared(layout, blocks, tests, [_other_way(rows.known[place]) for place in places], lost)
    of_cell, of_other = found.variance[places], compared.found.variance
    is_plain = np.array([not any(rows.blocks[place].leaves_out) for place in places], np.bool_)
    plain, left = np.where(is_plain, of_cell, of_other), np.where(is_plain, of_other, of_cell)
    numbers: _Columns = {
        "adjusted": [rows.blocks[place].leaves_out.name for place in places],
        "other_estimate": _numbers(compared.found.difference),
        "other_standard_error": _numbers(np.sqrt(np.maximum(compared.found.variance, 0.0))),
        "other_relative_estimate": _numbers(compared.said.relative_estimate),
        "variance_left": _numbers(left / np.where(plain > 0.0, plain, np.nan)),
        **{f"other_running_{name}": _numbers(getattr(compared.running, name)) for name in RUNNING},
    }
    for name, values in numbers.items():
        at = dict(zip(places, values, strict=True))
        columns[name] = [at.get(place, UNSET) for place in range(len(rows.blocks))]
    return columns


def _other_way(cell: Cell | None) -> Cell | None:
    """A cell whose running values are those of the other way."""
    if cell is None:
        return None
    running = {f"running_{name}": getattr(cell, f"other_running_{name}") for name in RUNNING}
    return replace(cell, **{name: None if value is UNSET else value for name, value in running.items()})


def _as_read(cell: Cell, was: Cell | None) -> Cell:
    """A fixed-horizon test says for ever what it said when it was read: units that come later are in none of it.

    While the metric is unusable the look has no numbers of its own; what was read stays in the running ones.
    """
    if was is None or not was.is_read:
        return cell
    of_now = {name: getattr(cell, name) for name in ("judgement", "adjusted_p_value", "unusable_share", "example")}
    is_unusable = cell.status == "unusable"
    of_look = {name: None if is_unusable else getattr(was, f"running_{name}") for name in RUNNING}
    return replace(was, status="unusable" if is_unusable else "ok", **of_now, **of_look)


class Lost(NamedTuple):
    """The units per metric whose total was too large to keep, and what metrics lose of their events' values."""

    withheld: Mapping[str, int]
    losses: Sequence[Loss]


def _example(loss: Loss | None) -> str | UnsetType:
    return UNSET if loss is None or loss.example is None else loss.example


class Layout:
    """What all metrics of a run have in common: which arms there are, and which of them are compared."""

    def __init__(self, run: RunInForce, rules: int = RULES) -> None:
        # Units are made of others, as companies of users.
        self.is_clustered = rules >= RULES_OF_OTHERS and run.definition.unit.startswith("groups.")
        self.variants = [variant.key for variant in run.definition.variants]
        self.allocations = range(len(run.allocations))
        self.control = control_of(run.definition)
        self.controlled = self.variants.index(self.control)
        self.treated = [place for place, key in enumerate(self.variants) if key != self.control]
        self.treatments = [self.variants[place] for place in self.treated]
        # Of each treatment: its weight within the pair, in every allocation where both have one.
        shares = [
            {index: share for index, each in enumerate(run.allocations) if (share := _share(each, key, self.control))}
            for key in self.treatments
        ]
        self.shares = [list(each.values()) for each in shares]
        self.strata = [
            [(len(self.variants) * index + place, len(self.variants) * index + self.controlled) for index in each]
            for place, each in zip(self.treated, shares, strict=True)
        ]
        self.pairs = Pairs(self.strata)
        self._shared = [list(each) for each in shares]

    def pairs_within(self, strata: Sequence[int]) -> Pairs:
        """The pairs where each allocation has so many strata, one after the other."""
        width, firsts = len(self.variants), [sum(strata[:index]) for index in self.allocations]
        rows = [
            [(index, width * (firsts[index] + number)) for index in its for number in range(strata[index])]
            for its in self._shared
        ]
        return Pairs(
            [
                [(at + place, at + self.controlled) for _, at in its]
                for place, its in zip(self.treated, rows, strict=True)
            ],
            [[index for index, _ in its] for its in rows],
        )


class _Block(NamedTuple):
    """The cells of one metric, reading and segment, one for each treatment; `totals` are over all allocations."""

    goal: Goal
    version: int
    since: int | None  # ms UTC: where it does not cover the whole run
    reading: Reading
    segment: str
    planned: int | None  # see exploratory.py
    is_deciding: bool
    tests: list[Procedure]
    caveats: list[Caveat | None]
    leaves_out: Adjusting
    sample: Sample
    totals: list[ArmMoments]
    other: "_Block | None" = None  # its numbers the other way

    @property
    def is_ratio(self) -> bool:
        """Whether its second number is a denominator."""
        return self.sample.form.measure == "ratio"


class _Comparisons:
    """The comparisons of all blocks, one after the other: of each its block, arms and test, and the last look's cell.

    The methods give the columns of the cells.
    """

    def __init__(self, layout: Layout, blocks: Sequence[_Block], before: Mapping[CellKey, Cell]) -> None:
        self._control = layout.control
        self._variants = layout.treatments * len(blocks)
        self.blocks = [block for block in blocks for _ in layout.treatments]
        self.goals = [block.goal for block in self.blocks]
        self.treated = [block.totals[place] for block in blocks for place in layout.treated]
        self.controlled = [block.totals[layout.controlled] for block in self.blocks]
        self._caveats = [caveat for block in blocks for caveat in block.caveats]
        self.known, self.is_restarted = _known(blocks, layout.treatments, before)
        # Level and N* are fixed by the first look: no metric that is added or redefined later may move what it
        # promised.
        self.tests = [
            tested
            if cell is None or (cell.alpha, cell.planned_units) == (tested.alpha, tested.planned)
            else tested._replace(alpha=cell.alpha, planned=cell.planned_units)
            for tested, cell in zip((tested for block in blocks for tested in block.tests), self.known, strict=True)
        ]

    def subjects(self, said: Intervals, judgements: Judgements) -> _Columns:
        """What they are about, and how they are judged."""
        return {
            "metric": [goal.metric for goal in self.goals],
            "metric_version": [block.version for block in self.blocks],
            "variant": self._variants,
            "control": [self._control] * len(self.blocks),
            "reading": [block.reading for block in self.blocks],
            "segment": [block.segment for block in self.blocks],
            "method": [each.method for each in self.tests],
            "alternative": [each.alternative for each in self.tests],
            "status": said.status.tolist(),
            "judgement": judgements.judgement.tolist(),
            "caveat": self._caveats,
        }

    def sums(self) -> _Columns:
        """What was added up."""
        scales = [block.sample.scales for block in self.blocks]
        ratios = [block.is_ratio for block in self.blocks]
        columns: _Columns = {
            "scale": [first for first, *_ in scales],
            "denominator_scale": [its[1] if ratio else None for its, ratio in zip(scales, ratios, strict=True)],
        }
        for prefix, arms in (("", self.treated), ("control_", self.controlled)):
            columns |= {
                f"{prefix}n": [arm.n for arm in arms],
                f"{prefix}nonzero": [arm.nonzero for arm in arms],
                f"{prefix}sum": [exact(arm.first[0]) for arm in arms],
                f"{prefix}sum_squares": [exact(arm.second[0]) for arm in arms],
                f"{prefix}denominator_sum": [
                    exact(arm.first[1]) if ratio else None for arm, ratio in zip(arms, ratios, strict=True)
                ],
            }
        return columns

    def numbers(self, found: Differences, said: Intervals, running: Running, judgements: Judgements) -> _Columns:
        """What it comes to."""
        return {
            "mean": _means(found.mean, self.treated, self.blocks),
            "control_mean": _means(found.control_mean, self.controlled, self.blocks),
            "estimate": _numbers(found.difference),
            "standard_error": _numbers(np.sqrt(np.maximum(found.variance, 0.0))),
            "log_e": _numbers(said.log_e),
            "running_empty": running.is_empty.tolist(),
            "adjusted_p_value": _numbers(judgements.adjusted),
            "chance": _numbers(said.chance),
            "relative_estimate": _numbers(said.relative_estimate),
            "alpha": [each.alpha for each in self.tests],
            "planned_units": [each.planned for each in self.tests],
            "since": [block.since for block in self.blocks],
            **{name: _numbers(getattr(said, name)) for name in RUNNING},
            **{f"running_{name}": _numbers(getattr(running, name)) for name in RUNNING},
        }


def _blocks(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, ArmMoments],
    layout: Layout,
    *,
    tells_others: bool,
) -> Iterator[_Block]:
    analysis = run.definition.analysis
    parts = segments(run.definition)
    tests_of = procedures_of(run, metrics, layout.treatments)
    for goal in run.definition.metrics:
        if goal.metric not in metrics:
            continue
        metric = metrics[goal.metric]
        measured = MetricArms(run, metric, layout, arms)
        since = run.since[goal.metric]
        tests = {reading: tests_of(goal, reading) for reading in readings(metric)}
        caveats = {reading: _caveats(measured.is_uncapped, reading, tests[reading], layout) for reading in tests}
        for segment, reading in product(parts, tests):
            leaves_out, other = deciding(analysis, metric), beside(analysis, metric)
            is_exact = any(test.method == "exact" for test in tests[reading])
            if segment != EVERYONE or is_exact:  # as Amplitude: parts of the units are compared as they are
                leaves_out, other = Adjusting(cuped=leaves_out.cuped and segment == EVERYONE), None
            planned = planned_by(run, goal.metric, segment)
            block = _Block(
                goal,
                metric.version,
                since if since > run.started else None,
                reading,
                segment,
                planned,
                decides(metric, reading, segment) and planned != 0,
                tests[reading],
                caveats[reading],
                leaves_out,
                *measured.sample(reading, segment, leaves_out),
            )
            if other is not None and tells_others:
                method = method_of(analysis, metric, any(other))
                block = block._replace(
                    other=block._replace(
                        tests=[test._replace(method=method) for test in block.tests],
                        leaves_out=other,
                        sample=measured.sample(reading, segment, other)[0],
                    )
                )
            yield block


class MetricArms:
    """How the arms of one metric are measured."""

    def __init__(
        self, run: RunInForce, metric: MetricInForce, layout: Layout, arms: Mapping[ArmKey, ArmMoments]
    ) -> None:
        variables = metric.variables
        percentile = metric.definition.percentile
        self.is_uncapped = percentile is None and any(
            each.type in ("sum", "mean") and each.cap is None and not each.log for each in variables
        )
        self._scales = tuple(each.places for each in (*variables, *chain.from_iterable(metric.covariates)))
        self._covariates: list[Covariate] = []
        values = len(variables)
        for each in metric.covariates:
            self._covariates.append(tuple(range(values, values + len(each))))
            values += len(each)
        self._key, self._layout, self._arms = metric.definition.key, layout, arms
        self._nobody = ArmMoments(0, 0, (0,) * values, (0,) * (values * (values + 1) // 2))
        self._measure: Measure = (
            "ratio" if metric.parts else "conversion" if metric.definition.is_conversion else "mean"
        )
        self._percentile: AskedPercentile | None = None
        if percentile is not None:
            self._measure = "percentile"
            self._percentile = AskedPercentile(float(Decimal(repr(percentile)) / 100), variables[0].facts[0].scale)
        of = run.definition.analysis.strata
        self._strata = [each for each in segments(run.definition) if of is not None and each.startswith(f"{of}=")]

    def sample(self, reading: Reading, segment: str, leaves_out: Adjusting) -> tuple[Sample, list[ArmMoments]]:
        """The arms of every allocation, and their totals by variant."""
        width = len(self._layout.variants)
        by_allocation = [self._allocation(reading, segment, index) for index in self._layout.allocations]
        arms = [arm for its in by_allocation for arm in its]
        totals = arms if len(arms) == width else [sum(arms[place::width], self._nobody) for place in range(width)]
        if not any(leaves_out):
            return Sample(arms, self._scales, Form(self._measure), percentile=self._percentile), totals
        form = Form("ratio" if self._measure == "ratio" else "mean", tuple(self._covariates) * leaves_out.cuped)
        if not leaves_out.strata:
            return Sample(arms, self._scales, form, adjustment([totals], form, self._scales)), totals
        by_stratum = [
            strata([self._allocation(reading, each, index) for each in self._strata])
            for index in self._layout.allocations
        ]
        flat = [arms for its in by_stratum for arms in its]
        pairs = self._layout.pairs_within([len(its) for its in by_stratum])
        arms = [arm for its in flat for arm in its]
        return Sample(arms, self._scales, form, adjustment(flat, form, self._scales), pairs), totals

    def _allocation(self, reading: Reading, segment: str, index: int) -> list[ArmMoments]:
        """The arms of one allocation, in the order of the variants."""
        key = self._key, reading, segment, index
        return [self._arms.get((*key, variant), self._nobody) for variant in self._layout.variants]


def _share(allocation: Allocation, treatment: str, control: str) -> float | None:
    """The treatment's weight within the pair; None where one of the two has none."""
    weights = allocation.weights.get(treatment, 0), allocation.weights.get(control, 0)
    return weights[0] / sum(weights) if all(weights) else None


def _known(
    blocks: Sequence[_Block], treatments: Sequence[str], before: Mapping[CellKey, Cell]
) -> tuple[list[Cell | None], bool]:
    """What the last look said of each cell, None where its test is another one now; and whether that happens."""
    known: list[Cell | None] = []
    is_restarted = False
    for block in blocks:
        for treatment, tested in zip(treatments, block.tests, strict=True):
            cell = before.get((block.goal.metric, treatment, block.reading, block.segment))
            if cell and (cell.metric_version, cell.method, cell.alternative) != (
                block.version,
                tested.method,
                tested.alternative,
            ):
                cell, is_restarted = None, True
            known.append(cell)
    return known, is_restarted


def _coins(blocks: Sequence[_Block], layout: Layout) -> Coins:
    rows = [
        (number * len(layout.treatments) + each, treated.nonzero, treated.n, control.nonzero, control.n, share)
        for number, block in enumerate(blocks)
        for each, tested in enumerate(block.tests)
        if tested.method in ("exact", "boschloo")
        for (t, c), share in zip(layout.strata[each], layout.shares[each], strict=True)
        for treated, control in [(block.sample.arms[t], block.sample.arms[c])]
        if tested.method == "exact" or min(treated.n, control.n) >= 2  # as `differences` has it
    ]
    return Coins(*zip(*rows, strict=True)) if rows else Coins((), (), (), (), (), ())


def _caveats(is_uncapped: bool, reading: Reading, tests: Sequence[Procedure], layout: Layout) -> list[Caveat | None]:
    """Of each treatment."""

    def caveat(tested: Procedure, shares: Sequence[float]) -> Caveat | None:
        if tested.method == "exact":
            return None
        if reading == "live":
            return "open windows"
        return "heavy tail" if is_uncapped and any(share != 0.5 for share in shares) else None

    return [caveat(*each) for each in zip(tests, layout.shares, strict=True)]


def _means(combined: Floats, arms: Sequence[ArmMoments], blocks: Sequence[_Block]) -> list[float | None]:
    """Over allocations where a comparison is possible, else of the arm by itself."""
    means = _numbers(combined)
    for place in np.flatnonzero(~np.isfinite(combined)).tolist():
        arm, block = arms[place], blocks[place]
        if block.sample.percentile:
            continue
        scale, *others = block.sample.scales
        below, its_scale = (arm.first[1], others[0]) if block.is_ratio else (arm.n, 0)
        if below:
            means[place] = arm.first[0] * 10**its_scale / (below * 10**scale)
    return means


def _numbers(values: Floats) -> list[float | None]:
    """Null where there is no number, or an open end."""
    numbers: list[float | None] = values.tolist()
    for place in np.flatnonzero(~np.isfinite(values)).tolist():
        numbers[place] = None
    return numbers
