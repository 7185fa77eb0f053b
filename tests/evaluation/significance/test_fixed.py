"""Tests of a single look: intervals and p-values say the same, and the exact ones what their definitions say."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from evaluation.significance import counts, fixed, proportions, srm

levels = st.floats(1e-6, 0.5)
rates = st.tuples(st.integers(0, 400), st.integers(1, 400)).map(lambda pair: (min(pair), max(pair)))


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-9, 1e9),
    st.one_of(st.floats(1, 1e6), st.just(np.inf)),
    levels,
    st.sampled_from(["two-sided", "greater", "less"]),
)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(difference, variance, freedom, alpha, alternative):
    said = fixed.t_test(difference, variance, freedom, alpha, alternative)

    assume(abs(said.p_value - alpha) > 1e-6 * alpha)  # not on the edge itself
    assert (said.p_value < alpha) == (said.lower > 0 or said.upper < 0)


@given(rates, rates, levels)
def test_score_intervals_exclude_equality_exactly_when_the_score_test_rejects(treatment, control, alpha):
    (x, n), (y, m) = treatment, control
    pooled = proportions.pooled_variance(x, n, y, m)
    assume(pooled > 0)
    p_value = fixed.t_test(x / n - y / m, pooled * (n + m) / (n + m - 1), np.inf, alpha).p_value
    assume(abs(p_value - alpha) > 1e-6 * alpha)

    lower, upper = proportions.score_difference(x, n, y, m, norm.isf(alpha / 2.0))
    ratio_lower, ratio_upper = proportions.score_ratio(x, n, y, m, norm.isf(alpha / 2.0))

    assert (p_value < alpha) == (lower > 0 or upper < 0) == (ratio_lower > 1 or ratio_upper < 1)
    assert -1 <= lower <= x / n - y / m <= upper <= 1
    assert 0 <= ratio_lower <= ratio_upper


@pytest.mark.parametrize(("x", "n", "y", "m"), [(52, 395, 31, 400), (0, 20, 3, 35), (9, 9, 2, 40)])
def test_the_ends_of_the_score_interval_are_where_the_likeliest_rates_say_so(x, n, y, m):
    for end in proportions.score_difference(x, n, y, m, norm.isf(0.025)):

        def unlikelihood(rate, end=end):
            p = np.clip([rate, rate - end], 1e-15, 1 - 1e-15)
            hits, units = np.array([x, y]), np.array([n, m])
            return -np.sum(hits * np.log(p) + (units - hits) * np.log1p(-p))

        bounds = max(0.0, end), min(1.0, 1.0 + end)
        rate = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = (rate * (1 - rate) / n + (rate - end) * (1 - rate + end) / m) * (n + m) / (n + m - 1)
        assert abs(x / n - y / m - end) / np.sqrt(variance) == pytest.approx(1.959964, rel=1e-4)


@given(rates, levels)
def test_intervals_of_one_rate_and_of_two_have_it_inside(rate, alpha):
    x, n = rate
    lower, upper = proportions.wilson(x, n, alpha)
    assert lower >= -1e-12
    assert lower <= x / n + 1e-12
    assert x / n <= upper + 1e-12

    lower, upper = proportions.newcombe(x, n, x, n, alpha)
    assert lower == pytest.approx(-upper)


def test_exact_tests_take_columns():
    p_values = proportions.fisher([455, 3], [4100, 10], [388, 1], 4000)

    assert p_values.shape == (2,)
    assert p_values[1] < 1e-6 < p_values[0]
    assert srm.binomial((300, 355), (2, 1)) == binomtest(355, 655, 1 / 3).pvalue


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=2), st.floats(0.05, 0.95), levels)
def test_the_share_of_an_arm_excludes_the_promised_one_exactly_when_the_split_is_broken(units, share, alpha):
    evidence = srm.log_bayes_factor(units, [share, 1 - share])
    lower, upper = srm.share_bounds(units, [share, 1 - share], alpha)

    assume(abs(evidence + np.log(alpha)) > 1e-6 * (1 + abs(evidence)))
    assert (srm.p_value(evidence) < alpha) == (not lower[0] <= share <= upper[0])
    np.testing.assert_allclose(lower + upper[::-1], 1.0, atol=1e-9)


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(1e-6, 0.3))
def test_an_excess_of_events_is_beyond_its_bound_exactly_when_the_evidence_suffices(expected, planned, alpha):
    rho = counts.rho(planned, alpha)
    bound = counts.bound(expected, rho, alpha)

    assert counts.log_e(bound, expected, rho) == pytest.approx(-np.log(alpha), rel=1e-6, abs=1e-6)
    assert counts.log_e(bound * 1.01 + 0.01, expected, rho) > -np.log(alpha)


def test_watching_every_second_for_an_excess_does_not_raise_false_positives():
    rng = np.random.default_rng(11)
    expected = np.arange(1, 2001) * 0.5
    excess = np.cumsum(rng.poisson(0.5, (500, 2000)), axis=1) - expected

    crossed = (counts.log_e(excess, expected, counts.rho(200, 0.05)) >= np.log(20)).any(axis=1)
    naive = (excess > 1.645 * np.sqrt(expected))[:, 20:].any(axis=1)

    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert crossed.mean() <= bound < naive.mean() / 3
