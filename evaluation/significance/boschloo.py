"""Boschloo: a fixed-horizon test of conversions that holds however rare they are and however unequal the arms.

Given all k conversions of both arms, those of the treatment are hypergeometric if the arms convert alike, and Fisher's
one-sided p-value T is the chance of as many or more. Boschloo's test (1970) takes T as its statistic: with g(k) the
largest tail of k conversions that is at most T, and any rate r, P(T or less) = E[g(K)], K ~ Bin(N, r). The largest of
these over all rates is its p-value, at most T; but with many units hardly less, for rates that nobody believes count
too. So take, as Berger and Boos (1994), the rates of a confidence interval of k/N alone, and add the chance gamma that
it misses. For every alpha let gamma be SPENT alpha: the tests at all alphas are nested, and the smallest alpha whose
test rejects is a p-value. With the interval of gamma = SPENT T/LEAST it is at most

    max(sup E[g(K)]/(1 - SPENT), T/LEAST).

Where the variance of the treatment's conversions is large, E[g(K)] is the normal distribution's tail but for the
skewness of unequal arms (Edgeworth), at the score statistic. Several allocations are strata of which the conversions
are added up as their differences are; nothing exact is known of them, so that they have no p-value before.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtr

from evaluation.columns.arrays import Floats

Integers = NDArray[np.int64]

ENOUGH = 100.0  # variance of the treatment's conversions, given those of both arms, from which they are normal
SPENT = 0.02  # share of alpha that may be lost to a rate outside its interval
LEAST = 4.0  # the p-value is no less than Fisher's divided by it
RATES = 65  # of the interval at which E[g(K)] is computed
SAME = 1e-9  # two tails that differ by no more are one
LEFT = 1e-12  # of a tail that need not be added
TINY = 1e-12  # Fisher's p-values of which nothing needs to be improved
FAR = 6.0  # standard deviations beyond which there are 10^-9 of a distribution
CURVED = 5.0  # standard errors up to which the skewness is corrected


def one_sided(
    conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike, comparison: Integers
) -> Floats:
    """The p-value of no more conversions in the treatment than in control; NaN where nobody knows it.

    A row is one stratum (allocation) of a `comparison`: 0, 1, 2, …
    """
    columns = np.broadcast_arrays(*(np.asarray(each) for each in (conversions, n, control_conversions, control_n)))
    x, n, y, m = (np.ascontiguousarray(column, np.int64) for column in columns)
    p_value, enough = _normal(
        x.astype(np.float64), n.astype(np.float64), y.astype(np.float64), m.astype(np.float64), comparison
    )
    is_single = np.bincount(comparison) == 1
    rows = np.flatnonzero(is_single[comparison] & (enough < ENOUGH)[comparison])
    p_value[enough < ENOUGH] = np.nan
    p_value[comparison[rows]] = _exact(x[rows], n[rows], y[rows], m[rows])
    return p_value


def score(x: Floats, n: Floats, y: Floats, m: Floats) -> Floats:
    """The difference of the rates in standard errors, if the rates are one."""
    variance, _ = _moments(n, x + y, n + m)
    return np.divide(x - n * (x + y) / (n + m), np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0.0)


def _moments(n: Floats, k: Floats, total: Floats) -> tuple[Floats, Floats]:
    """The second and the third central moment of the hypergeometric distribution."""
    m, rest = total - n, total - k
    variance = n * m * k * rest / (np.square(total) * (total - 1.0))
    third = variance * (total - 2.0 * k) * (total - 2.0 * n) / (total * np.maximum(total - 2.0, 1.0))
    return variance, third


def _normal(x: Floats, n: Floats, y: Floats, m: Floats, comparison: Integers) -> tuple[Floats, Floats]:
    """The normal p-value, and the variance of conversions that it rests on."""
    k, total = x + y, n + m
    variance, third = _moments(n, k, total)
    weight = np.square(total) / (n * m)  # of what is more than expected: N_e D_e, added up over the strata
    excess = np.bincount(comparison, weight * (x - n * k / total))
    spread = np.bincount(comparison, np.square(weight) * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        enough = np.square(spread) / np.bincount(comparison, weight**4 * variance)
        skewness = np.bincount(comparison, weight**3 * third) / spread**1.5
        z = excess / np.sqrt(spread)
        tail = ndtr(skewness * (np.minimum(np.square(z), CURVED**2) - 1.0) / 6.0 - z)
    return np.minimum(1.0, tail / (1.0 - SPENT)), np.nan_to_num(enough)


def _exact(x: Integers, n: Integers, y: Integers, m: Integers) -> Floats:
    fisher = _tails(x, n, x + y, m)
    k, rest = (x + y).astype(np.float64), (n + m - x - y).astype(np.float64)
    missed = SPENT * np.maximum(fisher, TINY) / LEAST
    low = np.where(k > 0.0, betaincinv(np.maximum(k, 1.0), rest + 1.0, missed / 2.0), 0.0)
    high = np.where(rest > 0.0, betaincinv(k + 1.0, np.maximum(rest, 1.0), 1.0 - missed / 2.0), 1.0)
    largest = _largest(fisher, n, m, low, high)
    p_value = np.maximum(largest / (1.0 - SPENT), fisher / LEAST)
    return np.minimum(1.0, np.where(fisher < TINY, fisher, p_value))


@njit(cache=True)
def _log_choices(n: int, k: int) -> float:
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


@njit(cache=True)
def _tail(x: int, n: int, k: int, m: int) -> float:
    """P(X >= x) of k conversions, which n units of the treatment and m of control share."""
    if x <= max(0, k - m):
        return 1.0
    last = min(n, k)
    if x > last:
        return 0.0
    term = math.exp(_log_choices(n, x) + _log_choices(m, k - x) - _log_choices(n + m, k))
    total = term
    while x < last:
        ratio = (n - x) / (x + 1.0) * ((k - x) / (m - k + x + 1.0))
        term *= ratio
        total += term
        x += 1
        if ratio < 1.0 and term < LEFT * total:
            break
    return min(total, 1.0)


@njit(cache=True)
def _tails(x: Integers, n: Integers, k: Integers, m: Integers) -> Floats:
    tails = np.empty(len(x))
    for i in range(len(x)):
        tails[i] = _tail(x[i], n[i], k[i], m[i])
    return tails


@njit(cache=True)
def _largest(fisher: Floats, n: Integers, m: Integers, low: Floats, high: Floats) -> Floats:
    """The largest E[g(K)] over the rates from `low` to `high`."""
    found = np.empty(len(n))
    for i in range(len(n)):
        level = fisher[i] * (1.0 + SAME)
        if level >= 1.0 or fisher[i] < TINY:
            found[i] = fisher[i]
            continue
        N = n[i] + m[i]
        first = max(0, int(N * low[i] - FAR * math.sqrt(N * low[i] * (1.0 - low[i])) - 20.0))
        last = min(N, int(N * high[i] + FAR * math.sqrt(N * high[i] * (1.0 - high[i])) + 20.0))
        tails = np.empty(last - first + 1)
        share = n[i] / N
        least = max(0, int(first * share - 2.0 * FAR * math.sqrt(first * share * (1.0 - share))))
        for k in range(first, last + 1):
            tail = _tail(least, n[i], k, m[i])
            while tail > level:  # it moves by one at most, but for the first
                least += 1
                tail = _tail(least, n[i], k, m[i])
            tails[k - first] = tail
        # At even distances where the rate's standard error is the same everywhere.
        begin, end = math.asin(math.sqrt(low[i])), math.asin(math.sqrt(high[i]))
        found[i] = 0.0
        for step in range(RATES):
            rate = math.sin(begin + (end - begin) * step / (RATES - 1)) ** 2
            if not 0.0 < rate < 1.0:
                continue  # nobody converts, or everybody: no difference is seen
            chance = math.exp(_log_choices(N, first) + first * math.log(rate) + (N - first) * math.log1p(-rate))
            expected = 0.0
            for k in range(first, last + 1):
                expected += chance * tails[k - first]
                chance *= (N - k) / (k + 1.0) * (rate / (1.0 - rate))
            found[i] = max(found[i], expected)
    return found
