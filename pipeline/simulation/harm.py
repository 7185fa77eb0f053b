"""Harm: who calls a guardrail harmed, and when, of units that enter second by second while a rollout ramps up.

What looks know of a conversion are counts of each arm and step, here drawn as such. A unit converts some time after it
has entered, so that many windows are open. Gates, mixture and the exact process are those of `evaluation.significance`.

Beside ours: `naive`, a one-sided t-test at every look; and `peer`, GrowthBook's safe rollouts. Their documentation says
that "guardrails are analyzed for failure using one-sided sequential testing" of the absolute difference against zero;
by their sources it is the confidence sequence of Waudby-Smith et al. (arXiv:2103.06476, eq. 134) at .05, tuned to 5,000
units, over all units since the start, whatever the step; it counts once the larger arm has 150 conversions and the
difference is half a per cent of control. It is asked at each refresh: every six hours, unless the organisation says
another number of hours, or of late the rollout a number of minutes. Left out are what it may add (CUPED,
post-stratification, other alphas), its own ramp (10, 25, 50, 75, 100 %), its test of the split, which holds a rollback
up, and the time that a warehouse takes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats, Mask
from evaluation.significance import fixed, gates, mixture
from evaluation.significance.conversions import CONCENTRATION, log_mixture
from evaluation.significance.moments import variance_of_share
from pipeline.simulation.watching import ALPHA

VISITORS = 100  # a second
WINDOW = 600  # s, of the conversion
STAY = 30.0  # s, mean time from a unit's entry to its conversion
RATE = 0.02
PEER_PLANNED, PEER_CONVERSIONS, PEER_CHANGE = 5_000, 150, 0.005
NEVER_NAIVE, EVER_NAIVE = 1.6, 1.7  # standard errors, of which a one-sided t-test at 5 % rejects none, and surely


@dataclass(frozen=True)
class Ramp:
    """A rollout's steps: the second from which each is in force, and the percentage of the visitors that get a variant.

    Whom it treats converts more often, by a relative `harm`. The rate is `later` times as high from the last step on,
    for both arms alike.
    """

    steps: tuple[tuple[int, float], ...] = ((0, 1.0), (600, 10.0), (3_600, 50.0))
    harm: float = 0.0
    later: float = 1.0
    seconds: int = 21_600


@dataclass(frozen=True)
class ArmCounts:
    """Units and those that have converted, at every look: (arms, steps, rollouts, looks), the treatment first."""

    units: NDArray[np.int64]
    conversions: NDArray[np.int64]

    def every(self, seconds: int) -> "ArmCounts":
        """At fewer looks: at the end of every so many seconds."""
        at = slice(seconds - 1, None, seconds)
        return ArmCounts(self.units[..., at], self.conversions[..., at])


def draw(random: Generator, ramp: Ramp, rollouts: int) -> tuple[ArmCounts, ArmCounts]:
    """What is known at the end of every second: of all units, and of those whose window is closed."""
    begins, percentages = (np.array(each) for each in zip(*ramp.steps, strict=True))
    step = np.searchsorted(begins, np.arange(ramp.seconds), side="right") - 1
    entering = VISITORS * percentages[step] / 200.0  # of each arm, a second
    rate = RATE * np.where(step == len(begins) - 1, ramp.later, 1.0) * np.array([[1.0 + ramp.harm], [1.0]])
    shape = 2, rollouts, ramp.seconds
    # Units that convert and those that don't come independently of each other, as all who come by chance do.
    converting = random.poisson(np.broadcast_to((entering * rate)[:, None], shape))
    others = random.poisson(np.broadcast_to((entering * (1.0 - rate))[:, None], shape))
    arm, rollout, entry = (np.repeat(each, converting[converting > 0]) for each in np.nonzero(converting))
    delay = random.exponential(STAY, len(entry))
    noticed = (entry + random.random(len(entry)) + delay).astype(np.int64)
    counts = delay < WINDOW

    def by_step(second: NDArray[np.int64], which: Mask) -> NDArray[np.int64]:
        """How many have converted by the end of each second."""
        which = which & (second < ramp.seconds)
        at = np.ravel_multi_index(
            (arm[which], step[entry[which]], rollout[which], second[which]),
            (2, len(begins), rollouts, ramp.seconds),
        )
        found = np.bincount(at, minlength=2 * len(begins) * rollouts * ramp.seconds)
        return np.cumsum(found.reshape(2, len(begins), rollouts, ramp.seconds), axis=-1)

    units = np.zeros((2, len(begins), rollouts, ramp.seconds), np.int64)
    for number, (begin, end) in enumerate(pairwise([*begins, ramp.seconds])):
        np.cumsum((converting + others)[..., begin:end], axis=-1, out=units[:, number, :, begin:end])
        units[:, number, :, end:] = units[:, number, :, end - 1 : end]
    settled = np.zeros_like(units)
    settled[..., WINDOW:] = units[..., :-WINDOW]
    return ArmCounts(units, by_step(noticed, counts)), ArmCounts(settled, by_step(entry + WINDOW, counts))


def is_harmed(live: ArmCounts, settled: ArmCounts) -> Mask:
    """Whether looks of either reading have proved harm, as a plan sees it: (rollouts, looks)."""
    proved, is_safe = sequential(settled)
    return (exact(live) | proved) & ~is_safe


def exact(live: ArmCounts) -> Mask:
    """Whether the exact process of some look so far says harm: one coin for each step."""
    x, y = live.conversions
    log_e = log_mixture(x, y, CONCENTRATION / 2.0, CONCENTRATION / 2.0, 0.5).sum(0)
    return _ever((log_e >= -np.log(ALPHA)) & (x.sum(0) > y.sum(0)))


def sequential(settled: ArmCounts) -> tuple[Mask, Mask]:
    """Whether the one-sided mixture of some look so far says harm, and whether that there is none."""
    (n, m), (x, y) = settled.units, settled.conversions
    compared = (n >= 2) & (m >= 2)
    pair = np.where(compared, n + m, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # nobody yet, so no number
        difference = np.where(compared, x / n - y / m, 0.0)
        variance = np.where(compared, variance_of_share(n, x) + variance_of_share(m, y), 0.0)
        units = pair.sum(0)
        weight = pair / units
        total = np.sum(weight * difference, axis=0)
        of_total = np.sum(np.square(weight) * variance, axis=0)
        # The mixture's clock, in units of the first step that had enough of them.
        is_first = (np.minimum(n, m) >= gates.EXPOSURES) & (variance > 0.0)
        reference = np.take_along_axis(pair * variance, is_first.argmax(0)[None], axis=0)[0]
        is_ramped = (compared.sum(0) > 1) & is_first.any(0)
        clock = np.where(is_ramped, np.square(units) * of_total / reference, units)
        ratio = mixture.mixing_ratio(clock, mixture.PLANNED_UNITS, 2.0 * ALPHA)
        z = total / np.sqrt(of_total)
        total_n, total_m, total_x, total_y = (np.where(compared, each, 0).sum(0) for each in (n, m, x, y))
        is_open = gates.is_open(total_n, total_m, total_x, total_y, True) & (of_total > 0.0)
        harm, safety = (mixture.one_sided_log_e(side * z, ratio) > -np.log(ALPHA) for side in (1.0, -1.0))
    return _ever(is_open & harm), _ever(is_open & safety)


def naive(live: ArmCounts) -> Mask:
    """Whether a t-test for a single look says harm, at each look."""
    (n, m), (x, y) = _in_all(live)
    difference, v, control_v = _compared(n, m, x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(np.minimum(n, m) >= gates.EXPOSURES, difference / np.sqrt(v + control_v), 0.0)
    says = z > EVER_NAIVE
    rows = np.nonzero((z > NEVER_NAIVE) & ~says)
    freedom = fixed.welch_freedom(v[rows], n[rows], control_v[rows], m[rows])
    says[rows] = fixed.t_test(difference[rows], (v + control_v)[rows], freedom, ALPHA, "greater").p_value < ALPHA
    return says


def peer(live: ArmCounts) -> Mask:
    """Whether a safe rollout's guardrail is failing, at each look."""
    (n, m), (x, y) = _in_all(live)
    difference, v, control_v = _compared(n, m, x, y)
    ratio = mixture.mixing_ratio(n + m, PEER_PLANNED, 2.0 * ALPHA)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = difference - np.sqrt(v + control_v) * mixture.one_sided_multiplier(ratio, ALPHA)
        is_large = (np.maximum(x, y) >= PEER_CONVERSIONS) & (np.minimum(x, y) > 0)
        return is_large & (bound > 0.0) & (difference >= PEER_CHANGE * y / m)


def _in_all(counts: ArmCounts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return counts.units.sum(1), counts.conversions.sum(1)


def _compared(n: Floats, m: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """The difference of two shares, and the variance of each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / n - y / m, variance_of_share(n, x), variance_of_share(m, y)


def _ever(at_looks: Mask) -> Mask:
    return np.logical_or.accumulate(at_looks, axis=-1)
