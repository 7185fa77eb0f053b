"""Best: which of several arms, control among them, can still be the best by a primary metric, and how likely each is.

Every arm is compared with every other one by the one-sided mixture at alpha/(K - 1), K arms. An arm is out, for good,
once another is sure to be better. The best one has K - 1 comparisons in which it could be taken for worse than it is,
so the chance that it is ever out is at most alpha: the arms that are left are a confidence set of the best one, at
every look. Two arms of which neither is better stay both.

The chance to be the best is Bayesian, with the priors of `bayes`: a conversion's rate has Beta(1, 1), any other mean a
flat prior. It is an integral over the arm's own value of the chance that all others are below it, by quadrature, so
that the same sums give the same bits. Watching it has no guarantee. Of several allocations means are those of
differences to control.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import numpy as np
from msgspec import UNSET, UnsetType
from scipy.special import betainc, betaln, ndtr

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.columns.arrays import Floats
from evaluation.significance import mixture
from evaluation.significance.adjusting import Adjusting, deciding
from evaluation.significance.cells import ArmKey, Layout, Lost, MetricArms, readings
from evaluation.significance.comparison import Pairs, compared_percentiles, differences
from evaluation.significance.health import worst
from evaluation.significance.intervals import Coins, Intervals
from evaluation.significance.moments import ArmMoments
from evaluation.significance.procedures import Procedure, Procedures
from evaluation.significance.sample_size import planned_units
from schemas.catalog import Goal
from schemas.look import EVERYONE, Contender, Look

FEWEST = 3  # arms
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
CUTS = (-16.0, -8.0, -3.0, 0.0, 3.0, 8.0, 16.0)  # standard deviations from each mean at which integrals are cut

Known = Mapping[tuple[str, str], Contender]  # by metric and variant


def contenders(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, ArmMoments],
    lost: Lost,
    before: Known,
) -> list[Contender] | UnsetType:
    """The arms by each primary metric, in the order of the variants; `before` are those of the last look.

    UNSET where there are fewer than three variants, or no primary metric has numbers.
    """
    goals = [goal for goal in run.definition.metrics if goal.role == "primary" and goal.metric in metrics]
    layout = Layout(run)
    if len(layout.variants) < FEWEST or not goals:
        return UNSET
    return [each for goal in goals for each in _Contest(run, goal, metrics[goal.metric], layout, arms, lost).of(before)]


def told_best(look: Look) -> list[str]:
    """Sentences: by each primary metric of several arms which can be the best, and which cannot."""
    arms = look.best or []
    return [
        _sentence([each for each in arms if each.metric == metric]) for metric in dict.fromkeys(a.metric for a in arms)
    ]


def _sentence(arms: Sequence[Contender]) -> str:
    open_ = [f"{a.variant}{'' if a.chance is None else f' (chance {a.chance:.1%})'}" for a in arms if not a.beaten_by]
    said = f"{', '.join(open_) or 'none'} can be the best by {arms[0].metric}"
    return "; ".join([said, *(f"{each.variant} is beaten by {each.beaten_by}" for each in arms if each.beaten_by)])


class _Contest:
    """All arms of a run by one metric: each (one row) against each other one."""

    def __init__(  # noqa: PLR0917
        self,
        run: RunInForce,
        goal: Goal,
        metric: MetricInForce,
        layout: Layout,
        arms: Mapping[ArmKey, ArmMoments],
        lost: Lost,
    ) -> None:
        self._goal, self._layout, self._is_conversion = goal, layout, metric.definition.is_conversion
        leaves_out = Adjusting(
            cuped=deciding(run.definition.analysis, metric).cuped
        )  # arms' means, which have no strata
        measured = MetricArms(run, metric, layout, arms)
        self._sample, self._totals = measured.sample(readings(metric)[0], EVERYONE, leaves_out)
        width = len(layout.variants)
        self._rows = list(permutations(range(width), 2))
        pairs = Pairs([_strata(run, layout.variants, *row) for row in self._rows])
        percentiles = compared_percentiles([self._sample], pairs)
        self._found = differences([self._sample], pairs, percentiles)
        planned = [
            planned_units(run.definition, run.allocations[0].weights, run.metrics, treatment) or mixture.PLANNED_UNITS
            for treatment in layout.treatments
        ]
        better = Procedure(
            method="sequential",
            alternative="greater" if goal.direction == "increase" else "less",
            is_conversion=self._is_conversion,
            is_guardrail=False,
            is_increase=goal.direction == "increase",
            alpha=run.definition.analysis.alpha / (width - 1),
            planned=max(planned),
        )
        self._alpha, n = better.alpha, len(self._rows)
        self._said = Intervals(
            Procedures([better] * n),
            self._found,
            has_data=np.array([min(self._totals[w].n, self._totals[o].n) > 0 for w, o in self._rows], np.bool_),
            is_withheld=np.full(n, lost.withheld.get(goal.metric, 0) > 0),
            is_unusable=np.full(n, goal.metric in worst(lost.losses)),
            is_single=np.full(n, len(layout.allocations) == 1),
            is_few=np.zeros(n, np.bool_),
            coins=Coins((), (), (), (), (), ()),
            percentiles=percentiles,
        )

    def of(self, before: Known) -> list[Contender]:
        """What is known of each arm now."""
        beaten_by = {
            other: winner
            for row in np.argsort(-self._said.p_value, kind="stable").tolist()  # the surest last
            if self._said.p_value[row] < self._alpha
            for winner, other in [self._rows[row]]
        }
        names, chances = self._layout.variants, self._chances()
        return [
            Contender(metric=self._goal.metric, variant=name, chance=chances[place], beaten_by=was.beaten_by)
            if (was := before.get((self._goal.metric, name))) and was.beaten_by
            else Contender(
                metric=self._goal.metric,
                variant=name,
                chance=chances[place],
                beaten_by=names[beaten_by[place]] if place in beaten_by else None,
            )
            for place, name in enumerate(names)
        ]

    def _chances(self) -> list[float] | list[None]:
        """Of each arm to be the best; None where some arm has too little data to say."""
        control, width = self._layout.controlled, len(self._layout.variants)
        rows = [self._rows.index((place, control)) for place in self._layout.treated]
        if any(self._said.status[row] != "ok" for row in rows):
            return [None] * width
        sign = 1.0 if self._goal.direction == "increase" else -1.0
        is_of_rates = self._is_conversion and not any(self._sample.adjustment.slopes)
        if is_of_rates and len(self._layout.allocations) == 1:
            counts = [(arm.nonzero, arm.n - arm.nonzero) for arm in self._totals]
            return chance_of_highest_rate([each if sign > 0.0 else each[::-1] for each in counts]).tolist()
        mean, variance = np.zeros(width), np.zeros(width)
        mean[self._layout.treated] = sign * self._found.difference[rows]
        variance[self._layout.treated] = self._found.treatment_variance[rows]
        variance[control] = np.mean(self._found.control_variance[rows])
        return chance_of_highest_mean(mean, variance).tolist() if np.all(variance > 0.0) else [None] * width


def _strata(run: RunInForce, variants: Sequence[str], one: int, other: int) -> list[tuple[int, int]]:
    """The places of two arms in the allocations in which both have a weight."""
    return [
        (len(variants) * index + one, len(variants) * index + other)
        for index, each in enumerate(run.allocations)
        if each.weights.get(variants[one], 0) and each.weights.get(variants[other], 0)
    ]


def chance_of_highest_mean(mean: Floats, variance: Floats) -> Floats:
    """Of each of several independent normal distributions that its value is the highest."""
    deviation = np.sqrt(variance)

    def density(arm: int, x: Floats) -> Floats:
        z = (x - mean[arm]) / deviation[arm]
        return np.exp(-0.5 * np.square(z)) / (np.sqrt(2.0 * np.pi) * deviation[arm])

    return _highest(mean, deviation, density, lambda arm, x: ndtr((x - mean[arm]) / deviation[arm]))


def chance_of_highest_rate(counts: Sequence[tuple[int, int]]) -> Floats:
    """The same of rates, by conversions and units without one: Beta(1, 1) before."""
    a, b = np.array(counts, np.float64).T + 1.0
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))

    def density(arm: int, x: Floats) -> Floats:
        inside = (x > 0.0) & (x < 1.0)
        rate = np.where(inside, x, 0.5)
        log = (a[arm] - 1.0) * np.log(rate) + (b[arm] - 1.0) * np.log1p(-rate) - betaln(a[arm], b[arm])
        return np.where(inside, np.exp(log), 0.0)

    return _highest(mean, deviation, density, lambda arm, x: betainc(a[arm], b[arm], np.clip(x, 0.0, 1.0)))


def _highest(
    mean: Floats,
    deviation: Floats,
    density: Callable[[int, Floats], Floats],
    below: Callable[[int, Floats], Floats],
) -> Floats:
    cuts = np.unique(mean[:, None] + deviation[:, None] * np.array(CUTS))
    half = np.diff(cuts)[:, None] / 2.0
    x = (cuts[:-1, None] + half * (NODES + 1.0)).ravel()
    weight = (half * WEIGHTS).ravel()
    under = [below(arm, x) for arm in range(len(mean))]
    chance = np.array(
        [
            np.sum(
                weight * density(arm, x) * np.prod([each for other, each in enumerate(under) if other != arm], axis=0)
            )
            for arm in range(len(mean))
        ]
    )
    return np.clip(chance, 0.0, 1.0)
