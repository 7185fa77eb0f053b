"""Mixture: the normal-mixture e-process and its confidence sequence, over arrays of comparisons.

Write D for the estimated difference, V for the variance of that estimate (SE^2) and tau2 for the variance of the normal
distribution that mixes over possible effects. Then, with null effect d0,

    log E = 1/2 ln(V / (V + tau2)) + tau2 (D - d0)^2 / (2 V (V + tau2))                       (E1)
    p     = min(1, exp(-log E))                                                               (E2)
    CS    = D -+ sqrt(V) z*,   z* = sqrt((1 + V/tau2) (ln(1 + tau2/V) - 2 ln alpha))          (E3)

E is a nonnegative martingale with mean 1 when the effect is d0, so by Ville's inequality the chance that p ever falls
below alpha is at most alpha, however often one looks (asymptotically in the number of units: see `gates`). The formula
is Robbins' (1970); Johari et al. (arXiv:1512.04922) call it mSPRT, Howard et al. (arXiv:1810.08240, eq. 14) the normal
mixture, Waudby-Smith et al. (arXiv:2103.06476, eq. 9) the asymptotic confidence sequence. All of it is computed from
tau2/V and z = (D - d0)/sqrt(V), in logarithms, so that nothing overflows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx, lambertw, log_ndtr

from evaluation.columns.arrays import Floats

PLANNED_UNITS = 10_000  # of a pair, when nobody planned: Eppo's default
BISECTIONS = 80
FIXED_POINTS = 60
NEWTON_STEPS = 6  # each about doubles the right digits


@dataclass(frozen=True, slots=True)
class MixtureEvidence:
    """What one look says of each comparison: arrays of one shape. `multiplier` is z*: half the width in SEs."""

    log_e: Floats
    p_value: Floats
    lower: Floats
    upper: Floats
    multiplier: Floats


def tuning(alpha: ArrayLike) -> Floats:
    """c_alpha: the tau2/V that makes the interval narrowest when the planned units are in.

    The approximation L + ln(1 + L), L = -2 ln alpha, that GrowthBook, Eppo and confseq use; `exact_tuning` makes the
    interval 0.1 % narrower at best, for which we don't leave the peers' numbers.
    """
    doubled = -2.0 * np.log(np.asarray(alpha, np.float64))
    return doubled + np.log1p(doubled)


def exact_tuning(alpha: ArrayLike, freedom: ArrayLike = np.inf) -> Floats:
    """c_alpha without approximation: -W_{-1}(-alpha^2 / e) - 1 (Waudby-Smith et al., appendix; drconfseq).

    With `freedom` degrees of freedom, of the t mixture instead (Lindon et al. arXiv:2210.08589; avlm's n/g): with
    m = freedom + 1 the root q of q^(m - 1) (m - (m - 1) q) = alpha^2 gives c = alpha^2/q^m - 1.
    """
    alpha, freedom = np.broadcast_arrays(np.asarray(alpha, np.float64), np.asarray(freedom, np.float64))
    found = -np.real(lambertw(-np.square(alpha) / np.e, -1)) - 1.0
    finite = np.isfinite(freedom)
    m, target = np.where(finite, freedom, 1.0) + 1.0, 2.0 * np.log(alpha)
    low, high = np.full(alpha.shape, -745.0), np.zeros(alpha.shape)  # of ln q: the left side rises with it
    for _ in range(BISECTIONS):
        half = (low + high) / 2.0
        is_above = (m - 1.0) * half + np.log1p(-(m - 1.0) * np.expm1(half)) > target
        low, high = np.where(is_above, low, half), np.where(is_above, half, high)
    return np.where(finite, np.expm1(target - m * high), found)


def mixing_ratio(units: ArrayLike, planned: ArrayLike, alpha: ArrayLike) -> Floats:
    """tau2/V after `units` of a comparison whose plan is `planned` units: units/planned * c_alpha."""
    return np.asarray(units, np.float64) / np.asarray(planned, np.float64) * tuning(alpha)


def log_e(z: ArrayLike, ratio: ArrayLike) -> Floats:
    """(E1) for z = (D - d0)/sqrt(V) and ratio = tau2/V > 0."""
    ratio = np.asarray(ratio, np.float64)
    return np.asarray(0.5 * (np.square(z) / (1.0 + 1.0 / ratio) - np.log1p(ratio)), np.float64)


def multiplier(ratio: ArrayLike, alpha: ArrayLike) -> Floats:
    """z* of (E3) for ratio = tau2/V > 0."""
    ratio = np.asarray(ratio, np.float64)
    return np.sqrt((1.0 + 1.0 / ratio) * (np.log1p(ratio) - 2.0 * np.log(np.asarray(alpha, np.float64))))


def evidence(
    difference: ArrayLike, variance: ArrayLike, ratio: ArrayLike, alpha: ArrayLike, null: ArrayLike = 0.0
) -> MixtureEvidence:
    """(E1) to (E3) for each comparison: `difference` D, `variance` V > 0, `ratio` tau2/V > 0, 0 < `alpha` < 1."""
    difference = np.asarray(difference, np.float64)
    error = np.sqrt(np.asarray(variance, np.float64))
    of_null = log_e((difference - null) / error, ratio)
    width = multiplier(ratio, alpha)
    return MixtureEvidence(
        log_e=of_null,
        p_value=np.exp(-np.maximum(of_null, 0.0)),
        lower=difference - error * width,
        upper=difference + error * width,
        multiplier=width,
    )


def one_sided_tuning(alpha: ArrayLike) -> Floats:
    """The tau2/V that brings the one-sided bound nearest when the planned units are in.

    Looks take `tuning(2 alpha)`, as GrowthBook does: there the bound is 0.01 % farther.
    Where the bound of `one_sided_boundary` does not move with r: r = u^2 + u h(u), h = phi/Phi, at its shrunk z u.
    """
    alpha = np.asarray(alpha, np.float64)
    u = np.ones(alpha.shape)
    for _ in range(FIXED_POINTS):
        ratio = np.square(u) + u * _hazard(u)
        u = np.sqrt(2.0 * np.maximum(0.5 * np.log1p(ratio) - np.log(2.0 * alpha) - log_ndtr(u), 0.0))
    return np.square(u) + u * _hazard(u)


def one_sided_log_e(z: ArrayLike, ratio: ArrayLike) -> Floats:
    """log E against "no greater than the null", z = (D - d0)/sqrt(V): the half-normal mixture.

    1/2 ln(4 / (1 + r)) + z^2 r / (2 (1 + r)) + ln Phi(z sqrt(r / (1 + r))), r = tau2/V (Howard et al. 2021, eq. 3.8).
    """
    ratio = np.asarray(ratio, np.float64)
    shrunk = np.asarray(z, np.float64) / np.sqrt(1.0 + 1.0 / ratio)
    # Far below zero the two last terms cancel; the scaled tail is their sum.
    below = np.log(0.5 * erfcx(np.maximum(-shrunk, 0.0) / np.sqrt(2.0)))
    above = 0.5 * np.square(shrunk) + log_ndtr(np.maximum(shrunk, 0.0))
    return 0.5 * (np.log(4.0) - np.log1p(ratio)) + np.where(shrunk < 0.0, below, above)


def one_sided_boundary(ratio: ArrayLike, alpha: ArrayLike) -> Floats:
    """The z at which `one_sided_log_e` reaches ln(1/alpha): the distance in SEs of the one-sided bound.

    By Newton's method from `one_sided_multiplier`, which is beyond it: log E is convex and rises, so that the steps
    only come nearer.
    """
    ratio = np.asarray(ratio, np.float64)
    target = 0.5 * np.log1p(ratio) - np.log(2.0 * np.asarray(alpha, np.float64))
    shrink = np.sqrt(1.0 + 1.0 / ratio)
    u = one_sided_multiplier(ratio, alpha) / shrink
    for _ in range(NEWTON_STEPS):
        u = u - (0.5 * np.square(u) + log_ndtr(u) - target) / (u + _hazard(u))
    return u * shrink


def one_sided_multiplier(ratio: ArrayLike, alpha: ArrayLike) -> Floats:
    """In closed form, a little beyond `one_sided_boundary`: Waudby-Smith et al., eq. 134."""
    ratio = np.asarray(ratio, np.float64)
    gain = np.log1p(np.sqrt(1.0 + ratio) / (2.0 * np.asarray(alpha, np.float64)))
    return np.sqrt(2.0 * (1.0 + 1.0 / ratio) * gain)


def _hazard(u: Floats) -> Floats:
    """phi(u)/Phi(u)."""
    return np.exp(-0.5 * np.square(u) - 0.5 * np.log(2.0 * np.pi) - log_ndtr(u))
