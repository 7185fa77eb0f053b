"""Populations: what units are worth to a metric, from harmless to heavy-tailed. Every draw takes a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr, ndtri

from evaluation.columns.arrays import Floats

HEAVY = 1.5  # standard deviation of a heavy tail's logarithm
CAP = float(np.exp(HEAVY * ndtri(0.99)))  # its 99th percentile
PAYING = 0.05
COUNT, DISPERSION = 3.0, 1.5  # of a negative binomial: mean, and shape of the gamma that mixes the rates


@dataclass(frozen=True)
class Population:
    """`draw(random, lift)` gives one value per unit, `lift` (1 + the relative effect) an array of one each.

    `mean(lift)` is their expectation. `units` is how many an experiment needs for the gates to be open most of the time
    at a split of 90/10. Results of a population that `is_claimed` are within what the inference promises at any split.
    """

    name: str
    draw: Callable[[Generator, Floats], Floats]
    mean: Callable[[float], float]
    units: int = 10_000
    is_conversion: bool = False
    is_claimed: bool = True


def normal(random: Generator, lift: Floats) -> Floats:
    """Of standard deviation 1; the effect shifts."""
    return random.standard_normal(lift.shape) + lift


def conversion(rate: float) -> Callable[[Generator, Floats], Floats]:
    """Draws 0 or 1."""
    return lambda random, lift: (random.random(lift.shape) < rate * lift).astype(np.float64)


def counts(random: Generator, lift: Floats) -> Floats:
    """Negative binomial: Poisson with rates that differ between units."""
    rates = random.standard_gamma(DISPERSION, lift.shape) * (COUNT / DISPERSION)
    return random.poisson(rates * lift).astype(np.float64)


def heavy(random: Generator, lift: Floats) -> Floats:
    """Lognormal."""
    return np.exp(HEAVY * random.standard_normal(lift.shape)) * lift


def capped(random: Generator, lift: Floats) -> Floats:
    """The same, a unit's value cut at the cap."""
    return np.minimum(heavy(random, lift), CAP)


def revenue(random: Generator, lift: Floats) -> Floats:
    """Lognormal of those who pay, 0 of the others."""
    values = np.zeros(lift.shape)
    pays = random.random(lift.shape) < PAYING
    values[pays] = np.exp(random.standard_normal(np.count_nonzero(pays))) * lift[pays]
    return values


def capped_mean(lift: float) -> float:
    """E min(lift X, CAP), X lognormal."""
    edge = np.log(CAP / lift) / HEAVY
    return float(lift * np.exp(HEAVY**2 / 2) * ndtr(edge - HEAVY) + CAP * ndtr(-edge))


POPULATIONS = (
    Population("normal", normal, lambda lift: lift),
    Population("conversion 10%", conversion(0.10), lambda lift: 0.10 * lift, is_conversion=True),
    Population("conversion 1%", conversion(0.01), lambda lift: 0.01 * lift, units=50_000, is_conversion=True),
    Population("counts", counts, lambda lift: COUNT * lift),
    Population("lognormal 1.5", heavy, lambda lift: float(lift * np.exp(HEAVY**2 / 2)), is_claimed=False),
    Population("lognormal 1.5 capped at p99", capped, capped_mean),
    Population("revenue of 5% payers", revenue, lambda lift: float(PAYING * lift * np.exp(0.5)), units=50_000),
)
NORMAL = POPULATIONS[0]
