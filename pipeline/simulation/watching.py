"""Watching: many replications of one comparison, judged by the product's own functions at every look.

Units enter one after another, each with a coin of its own; what a look knows of them are sums, here of floats. Nothing
here decides anything: gates, the mixture, Fieller's set and Welch's test are those of `evaluation.significance`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats, Mask
from evaluation.significance import fixed, gates, mixture
from evaluation.significance.relative import fieller
from pipeline.simulation.populations import Population

ALPHA = 0.05
LOOKS = 500
_AT_ONCE = 100_000  # values drawn: a processor's cache holds what they add up to
_NEVER_FIXED = 1.9  # standard errors within which no t-test at 5 % rejects


@dataclass(frozen=True)
class Scenario:
    """`share` of the units is treated, with the relative effect `effect`; `looks` come at equal numbers of units."""

    population: Population
    share: float = 0.5
    effect: float = 0.0
    units: int = 10_000
    looks: int = LOOKS
    planned: int = mixture.PLANNED_UNITS

    @property
    def difference(self) -> float:
        """The true one."""
        return self.population.mean(1.0 + self.effect) - self.population.mean(1.0)


@dataclass(frozen=True)
class Watched:
    """Arrays, one value per replication. Units are infinite where it never came to that."""

    rejected_at: Floats  # units in, at the first look whose confidence sequence excludes zero
    fixed_rejected_at: Floats  # the same by a t-test at every look
    covers: Mask  # at every look, the true difference
    covers_relative: Mask  # and the true lift


@dataclass(frozen=True)
class ArmSums:
    """Of one arm at many looks: units, those whose value is not 0, values, squares. Arrays of one shape."""

    n: Floats
    nonzero: Floats
    total: Floats
    squares: Floats

    def __sub__(self, other: "ArmSums") -> "ArmSums":
        return ArmSums(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(ArmSums)))

    @property
    def mean(self) -> Floats:
        """S1/n."""
        return self.total / self.n

    @property
    def variance(self) -> Floats:
        """Of the mean: s^2/n."""
        return np.asarray((self.squares - np.square(self.total) / self.n) / (self.n * (self.n - 1.0)))


def watch(random: Generator, scenario: Scenario, replications: int) -> Watched:
    """Watch the scenario so many times."""
    parts = list(_parts(random, scenario, replications))
    return Watched(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Watched)))


def _parts(random: Generator, scenario: Scenario, replications: int) -> Iterator[Watched]:
    count = max(1, _AT_ONCE // scenario.units)
    for done in range(0, replications, count):
        yield _watch(random, scenario, min(count, replications - done))


def _watch(random: Generator, scenario: Scenario, count: int) -> Watched:
    population = scenario.population
    is_treated = random.random((count, scenario.units)) < scenario.share
    x = population.draw(random, np.where(is_treated, 1.0 + scenario.effect, 1.0))

    def so_far(values: NDArray[Any]) -> Floats:
        return np.cumsum(values.reshape(count, scenario.looks, -1).sum(-1, dtype=np.float64), axis=1)

    of_all = [so_far(each) for each in (np.ones_like(is_treated), x != 0.0, x, x * x)]
    of_treated = [so_far(each * is_treated) for each in (np.ones_like(is_treated), x != 0.0, x, x * x)]
    # Looks where any test makes sense, one after another.
    where = np.minimum(of_treated[0], of_all[0] - of_treated[0]) >= gates.EXPOSURES
    treatment = ArmSums(*(each[where] for each in of_treated))
    control = ArmSums(*(each[where] for each in of_all)) - treatment
    difference, v, control_v = treatment.mean - control.mean, treatment.variance, control.variance
    is_open = gates.is_open(treatment.n, control.n, treatment.nonzero, control.nonzero, population.is_conversion)

    def anywhere(at_looks: Mask) -> Mask:
        """(replications, looks): false where a look was left out."""
        every = np.zeros(where.shape, np.bool_)
        every[where] = at_looks
        return every

    with np.errstate(divide="ignore", invalid="ignore"):  # no variance yet, so no number
        ratio = mixture.mixing_ratio(treatment.n + control.n, scenario.planned, ALPHA)
        said = mixture.evidence(difference, v + control_v, ratio, ALPHA)
        is_far = np.abs(difference) > _NEVER_FIXED * np.sqrt(v + control_v)
    rejects_fixed = np.zeros(is_far.shape, np.bool_)
    freedom = fixed.welch_freedom(v[is_far], treatment.n[is_far], control_v[is_far], control.n[is_far])
    rejects_fixed[is_far] = fixed.t_test(difference[is_far], (v + control_v)[is_far], freedom, ALPHA).p_value < ALPHA
    misses = (said.lower > scenario.difference) | (said.upper < scenario.difference)
    misses_relative = misses
    if scenario.effect:  # without one both miss at once
        lower, upper = fieller(difference, v + control_v, control.mean, control_v, said.multiplier)
        misses_relative = (lower > scenario.effect) | (upper < scenario.effect)
    return Watched(
        rejected_at=_first(anywhere(is_open & (said.p_value < ALPHA)), scenario),
        fixed_rejected_at=_first(anywhere(rejects_fixed), scenario),
        covers=~ever(anywhere(is_open & misses)),
        covers_relative=~ever(anywhere(is_open & misses_relative)),
    )


def ever(at_looks: Mask) -> Mask:
    """Whether it happens at any look: looks are the last axis."""
    return np.asarray(at_looks.any(-1))


def _first(rejects: Mask, scenario: Scenario) -> Floats:
    """Units in at each replication's first rejection."""
    units = (rejects.argmax(1) + 1.0) * (scenario.units // scenario.looks)
    return np.where(ever(rejects), units, np.inf)
