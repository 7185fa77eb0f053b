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


@given(effects, variances, st.tuples(st.floats(0, 1), st.floats(-1, 1), st.floats(-1e6, 1e6)), ratios, levels)
def test_the_relative_set_excludes_zero_exactly_when_the_absolute_interval_does(
    difference, variance, control, ratio, alpha
):
    said = mixture.evidence(difference, variance, ratio, alpha)
    share, correlation, distance = control
    baseline_variance, covariance = share * variance, correlation * variance * np.sqrt(share)
    # Far enough from zero for the set to be bounded.
    baseline = np.copysign(said.multiplier * np.sqrt(baseline_variance) * 1.001 + abs(distance) + 1e-6, distance)

    for adjusted in (None, covariance):
        lower, upper = fieller(difference, variance, baseline, baseline_variance, said.multiplier, covariance=adjusted)
        assert lower <= upper
        excludes = lower > 0 or upper < 0
        assert excludes == (said.lower > 0 or said.upper < 0)


@given(st.floats(-40, 40), ratios, levels)
def test_the_one_sided_bound_excludes_the_null_exactly_when_p_is_below_alpha(z, ratio, alpha):
    log_e, boundary = mixture.one_sided_log_e(z, ratio), mixture.one_sided_boundary(ratio, alpha)

    assume(abs(log_e + np.log(alpha)) > 1e-9 * (1 + abs(log_e)))
    assert (np.exp(-log_e) < alpha) == (z > boundary)
    assert boundary <= mixture.one_sided_multiplier(ratio, alpha) * (1 + 1e-12)


@given(st.floats(-1e150, 1e150), ratios)
def test_one_sided_evidence_is_finite_and_rises_with_the_effect(z, ratio):
    less, more = mixture.one_sided_log_e([z, z + 1 + abs(z)], ratio)

    assert np.isfinite([less, more]).all()
    assert less < more


def test_one_sided_evidence_is_the_average_likelihood_ratio_over_positive_normal_effects():
    difference, variance, tau2 = -0.1, 0.02, 0.05
    effect = np.linspace(0, 4, 400_001)
    density = 2 * np.exp(-(effect**2) / (2 * tau2)) / np.sqrt(2 * np.pi * tau2)
    likelihood_ratio = np.exp((difference * effect - effect**2 / 2) / variance)

    log_e = mixture.one_sided_log_e(difference / np.sqrt(variance), tau2 / variance)

    np.testing.assert_allclose(np.exp(log_e), np.trapezoid(likelihood_ratio * density, effect), rtol=1e-9)


def test_a_baseline_that_may_be_zero_makes_the_relative_set_unbounded():
    too_large = 1.0, 1e200, 1e110, 1e200  # for its fourth power

    ends = fieller(*zip((0.1, 0.02, 0.05, 0.01), too_large, strict=True), 3.0)

    assert np.isnan(ends).all()


def test_the_exact_tuning_makes_the_narrowest_interval():
    found = minimize_scalar(lambda c: mixture.multiplier(c, 0.05), bounds=(1, 100), method="bounded")

    np.testing.assert_allclose(mixture.exact_tuning(0.05), found.x, rtol=1e-4)
    np.testing.assert_allclose(mixture.multiplier(mixture.tuning(0.05), 0.05), found.fun, rtol=1e-3)


def test_the_one_sided_tuning_brings_the_bound_nearest():
    found = minimize_scalar(lambda c: mixture.one_sided_boundary(c, 0.05), bounds=(1, 100), method="bounded")

    np.testing.assert_allclose(mixture.one_sided_tuning(0.05), found.x, rtol=1e-4)


def test_the_tuning_of_the_t_mixture_nears_that_of_the_normal_one():
    found = mixture.exact_tuning(0.05, [10, 1000, 1e8])

    np.testing.assert_allclose(found[2], mixture.exact_tuning(0.05), rtol=1e-6)
    assert found[0] > found[1] > found[2]


def test_the_mixture_is_the_average_likelihood_ratio_over_normal_effects():
    difference, variance, tau2 = 0.4, 0.02, 0.05
    effect = np.linspace(-4, 4, 400_001)
    density = np.exp(-(effect**2) / (2 * tau2)) / np.sqrt(2 * np.pi * tau2)
    likelihood_ratio = np.exp((difference * effect - effect**2 / 2) / variance)

    said = mixture.evidence(difference, variance, tau2 / variance, 0.05)

    np.testing.assert_allclose(np.exp(said.log_e), np.trapezoid(likelihood_ratio * density, effect), rtol=1e-9)
