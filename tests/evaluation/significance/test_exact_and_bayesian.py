"""The exact process of rare conversions, and the Bayesian reading."""

from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, norm

from evaluation.significance import bayes, conversions, multiplicity

counts = st.integers(0, 3000)


@given(counts, counts, st.floats(0.05, 0.95), st.floats(1e-4, 0.3))
def test_the_risk_ratio_excludes_one_exactly_when_p_is_below_alpha(x, y, share, alpha):
    said = conversions.exact_evidence(x, y, share, alpha)

    if abs(said.log_e + np.log(alpha)) > 1e-6:  # not on the edge itself
        assert (said.p_value < alpha) == (not said.lower <= 1.0 <= said.upper)


def test_evidence_is_the_ratio_of_the_mixture_to_coin_flips():
    said = conversions.exact_evidence(60, 40, 0.5, 0.05)

    flips = log(comb(100, 60)) - 100 * log(2)
    np.testing.assert_allclose(said.log_e, betabinom(100, 50, 50).logpmf(60) - flips, rtol=1e-9)
    assert said.risk_ratio == pytest.approx(1.5, rel=1e-14)


shares = st.floats(0.05, 0.95)


@settings(max_examples=50)
@given(st.tuples(counts, counts, shares), st.tuples(counts, counts, shares), st.floats(1e-4, 0.3))
def test_the_evidence_of_allocations_adds_up_and_their_interval_goes_with_it(one, other, alpha):
    x, y, share = np.array([one, other]).T

    said = conversions.stratified_evidence(x, y, share, comparison=np.array([0, 0]), alpha=np.array([alpha]))

    each = conversions.exact_evidence(x, y, share, alpha)
    np.testing.assert_allclose(said.log_e[0], each.log_e.sum(), atol=1e-6)
    if abs(said.log_e[0] + np.log(alpha)) > 1e-6:
        assert (said.p_value[0] < alpha) == (not said.lower[0] <= 1.0 <= said.upper[0])
    if y.sum():
        ends = each.risk_ratio[~np.isnan(each.risk_ratio)]
        assert min(ends) * (1 - 1e-9) <= said.risk_ratio[0]
        assert said.lower[0] <= said.risk_ratio[0] <= said.upper[0]


def test_without_conversions_nothing_is_known():
    said = conversions.exact_evidence([0, 5], [0, 0], 0.5, 0.05)

    assert said.p_value[0] == 1.0
    assert (said.lower[0], said.upper[0]) == (0.0, np.inf)
    assert np.isnan(said.risk_ratio).all()
    assert 0.0 < said.lower[1] < said.upper[1] == np.inf


def test_watching_every_conversion_does_not_raise_false_positives():
    rng = np.random.default_rng(3)
    experiments, length = 1000, 400
    to_treatment = np.cumsum(rng.random((experiments, length)) < 0.2, axis=1)
    seen = np.arange(1, length + 1)

    log_e = conversions.log_mixture(to_treatment, seen - to_treatment, 20, 80, 0.2)

    share = to_treatment / seen
    naive = np.abs(share - 0.2) > 1.96 * np.sqrt(0.16 / seen)
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / experiments)
    assert np.mean((log_e >= np.log(20)).any(axis=1)) <= bound
    assert np.mean(naive[:, 30:].any(axis=1)) > 4 * bound


@pytest.mark.parametrize(("x", "n", "y", "control_n"), [(0, 1, 1, 1), (30, 100, 30, 100), (5000, 10**6, 5100, 10**6)])
def test_the_two_chances_of_beating_each_other_add_up_to_one(x, n, y, control_n):
    chance = bayes.beta_chance(x, n, y, control_n)

    np.testing.assert_allclose(chance + bayes.beta_chance(y, control_n, x, n), 1.0, rtol=1e-9)
    if x == y:
        np.testing.assert_allclose(chance, 0.5, rtol=1e-9)


def test_many_units_make_the_beta_posterior_normal():
    n, x, y = 10**6, 100_500, 100_000
    z = (x - y) / n / np.sqrt(2 * 0.1 * 0.9 / n)

    np.testing.assert_allclose(bayes.beta_chance(x, n, y, n), norm.cdf(z), atol=1e-3)


def test_families_are_adjusted_along_the_last_axis():
    p_values = np.array([[0.01, 0.04, 0.03], [0.5, 0.001, 0.9]])

    for adjust in (multiplicity.bonferroni, multiplicity.holm, multiplicity.benjamini_hochberg):
        np.testing.assert_array_equal(adjust(p_values), [adjust(row) for row in p_values])
    np.testing.assert_allclose(multiplicity.holm(p_values)[0], [0.03, 0.06, 0.06])
