"""The fixed-horizon test of conversions, by enumeration: it errs no more often than alpha, and sees what others see."""

import os

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from evaluation.significance import boschloo

SHARES = (0.5, 0.2, 0.1, 0.05)  # of the treatment, and then of control
GRID = (
    [(units, SHARES, (0.05, 0.025, 0.005)) for units in (300, 1_000, 3_000, 10_000)]
    if os.environ.get("PEEKPROOF_GRID")
    else [
        (300, SHARES, (0.05, 0.025)),
        (1_000, SHARES, (0.05, 0.025)),
        (3_000, SHARES, (0.025,)),
        (10_000, (0.5, 0.05), (0.025,)),
    ]
)
RATES = np.array((0.001, 0.002, 0.005, 0.01, 0.02, 0.05))
SURELY = 1e-13  # of binomial distributions, what is left out


def rejected(n, m, alpha, p_value):
    """For k = 0, 1, 2, … conversions the fewest of the treatment that the one-sided test at `alpha` rejects."""
    k = np.arange(int(binom.isf(SURELY, n + m, max(RATES))) + 2)
    # Its p-value is at least a fourth of Fisher's, and hardly more than that.
    below = hypergeom.isf(4.0 * alpha, n + m, n, k).astype(int)
    least = hypergeom.isf(0.9 * alpha, n + m, n, k).astype(int) + 1
    while np.any(is_open := least - below > 1):
        x, within = (below[is_open] + least[is_open]) // 2, k[is_open]
        rejects = p_value(x, np.full_like(x, n), within - x, np.full_like(x, m), np.arange(len(x))) <= alpha
        least[is_open] = np.where(rejects, x, least[is_open])
        below[is_open] = np.where(rejects, below[is_open], x)
    return least


def errors(n, m, least, rates):
    """The chance of a rejection where both arms convert at a rate; `least` by the conversions of both arms."""
    k = np.arange(len(least))
    tails = hypergeom.sf(least - 1, n + m, n, k)
    return binom.pmf(k, n + m, rates[:, None]) @ tails + binom.sf(k[-1], n + m, rates)


def power(n, m, least, rate, control_rate):
    """The chance of a rejection at these rates."""
    x, y = (np.arange(int(binom.isf(SURELY, units, each)) + 2) for units, each in ((n, rate), (m, control_rate)))
    both = np.minimum(x[:, None] + y, len(least) - 1)
    return float(binom.pmf(x, n, rate) @ (x[:, None] >= least[both]) @ binom.pmf(y, m, control_rate))


def sides(units, share):
    """The arms of both one-sided tests."""
    n = round(units * share)
    return (n, units - n), (units - n, n)


@pytest.mark.parametrize(
    ("units", "share", "alpha"),
    [(units, share, alpha) for units, shares, alphas in GRID for share in shares for alpha in alphas],
)
def test_n03_no_rare_conversion_and_no_split_makes_it_err_more_often_than_alpha(units, share, alpha):
    found = [errors(n, m, rejected(n, m, alpha, boschloo.one_sided), RATES) for n, m in sides(units, share)]

    assert np.max(found) <= alpha
    assert np.max(np.sum(found, axis=0)) <= 2.0 * alpha  # of the two-sided test


def fisher_region(n, m, level):
    k = np.arange(int(binom.isf(SURELY, n + m, 3.0 * max(RATES))) + 2)
    return hypergeom.isf(level, n + m, n, k).astype(int) + 1


def boschloo_region(n, m, alpha):
    """Fisher's at the largest level that keeps alpha whatever the rate."""
    rates = np.sin(np.linspace(0.01, np.arcsin(np.sqrt(3.0 * max(RATES))), 40)) ** 2
    low, high = alpha, 6.0 * alpha
    for _ in range(10):
        level = np.sqrt(low * high)
        is_kept = errors(n, m, fisher_region(n, m, level), rates).max() <= alpha
        low, high = (level, high) if is_kept else (low, level)
    return fisher_region(n, m, low)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_it_sees_what_boschloo_s_test_sees_and_more_than_fisher_s(share):
    """Two-sided, of 1,000 units: a conversion that a treatment doubles, or halves."""
    alpha, powers = 0.025, []
    for n, m in sides(1_000, share):
        regions = (
            rejected(n, m, alpha, boschloo.one_sided),
            boschloo_region(n, m, alpha),
            fisher_region(n, m, alpha),
        )
        for rate, control_rate in ((0.04, 0.02), (0.05, 0.01), (0.02, 0.005)):
            powers.append([power(n, m, least, rate, control_rate) for least in regions])

    ours, others, fishers = np.transpose(powers)
    assert np.all(ours >= fishers)
    assert np.all(ours >= others - 0.02)
    assert np.mean(ours - fishers) > 0.02
