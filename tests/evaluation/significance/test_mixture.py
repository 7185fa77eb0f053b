"""Laws of the confidence sequence and of the relative set."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from evaluation.significance import mixture
from evaluation.significance.relative import fieller

effects = st.floats(-1e6, 1e6, allow_subnormal=False)
variances = st.floats(1e-12, 1e12)
ratios = st.floats(1e-4, 1e8)
levels = st.floats(1e-6, 0.5)


@given(effects, variances, ratios, levels)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(difference, variance, ratio, alpha):
    said = mixture.evidence(difference, variance, ratio, alpha)

    assume(abs(said.log_e + np.log(alpha)) > 1e-9 * (1 + abs(said.log_e)))  # not on the edge itself
    assert (said.p_value < alpha) == (said.lower > 0 or said.upper < 0)


@given(effects, variances, ratios, levels)
def test_swapping_the_arms_mirrors_everything(difference, variance, ratio, alpha):
    one = mixture.evidence(difference, variance, ratio, alpha)
    other = mixture.evidence(-difference, variance, ratio, alpha)

    assert (one.log_e, one.p_value, one.lower, one.upper) == (other.log_e, other.p_value, -other.upper, -other.lower)


@given(st.floats(0, 1e150), ratios, levels)
def test_overwhelming_evidence_stays_finite(z, ratio, alpha):
    said = mixture.evidence(z, 1.0, ratio, alpha)

    assert all(np.isfinite(value) for value in (said.log_e, said.p_value, said.lower, said.upper))


@given(effects, variances, effects, st.floats(0, 1), st.tuples(ratios, levels))
def test_the_relative_set_excludes_zero_exactly_when_the_absolute_interval_does(
    difference, variance, baseline, share, test
):
    ratio, alpha = test
    said = mixture.evidence(difference, variance, ratio, alpha)
    lower, upper = fieller(difference, variance, baseline, share * variance, said.multiplier)

    assume(np.isfinite(lower))
    assert lower <= upper
    assert (lower > 0 or upper < 0) == (said.lower > 0 or said.upper < 0)


def test_a_baseline_that_may_be_zero_makes_the_relative_set_unbounded():
    lower, upper = fieller(0.1, 0.02, 0.05, 0.01, 3.0)

    assert np.isnan(lower)
    assert np.isnan(upper)


def test_the_exact_tuning_makes_the_narrowest_interval():
    found = minimize_scalar(lambda c: mixture.multiplier(c, 0.05), bounds=(1, 100), method="bounded")

    np.testing.assert_allclose(mixture.exact_tuning(0.05), found.x, rtol=1e-4)
    np.testing.assert_allclose(mixture.multiplier(mixture.tuning(0.05), 0.05), found.fun, rtol=1e-3)


def test_the_mixture_is_the_average_likelihood_ratio_over_normal_effects():
    difference, variance, tau2 = 0.4, 0.02, 0.05
    effect = np.linspace(-4, 4, 400_001)
    density = np.exp(-(effect**2) / (2 * tau2)) / np.sqrt(2 * np.pi * tau2)
    likelihood_ratio = np.exp((difference * effect - effect**2 / 2) / variance)

    said = mixture.evidence(difference, variance, tau2 / variance, 0.05)

    np.testing.assert_allclose(np.exp(said.log_e), np.trapezoid(likelihood_ratio * density, effect), rtol=1e-9)
