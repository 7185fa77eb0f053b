"""Laws of differences: of means, conversions, ratios and adjusted ones, from exact sums."""

import warnings
from dataclasses import fields
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.significance.comparison import (
    Adjustment,
    Differences,
    Form,
    Pairs,
    Sample,
    adjustment,
    differences,
)
from evaluation.significance.moments import ArmMoments

VALUES = {"mean": 1, "conversion": 1, "ratio": 2, "adjusted mean": 2, "adjusted ratio": 4}
MEASURES = list(VALUES)
FORMS = {
    **{measure: Form(measure) for measure in ("mean", "conversion", "ratio")},
    "adjusted mean": Form("mean", ((1,),)),
    "adjusted ratio": Form("ratio", ((2, 3),)),
}
LIMIT = 1 << 62  # of a unit's total


def arm_of(rows):
    """The sums of units with these values."""
    arm = ArmMoments()
    for row in rows:
        second = tuple(x * y for x, y in combinations_with_replacement(row, 2))
        arm += ArmMoments(1, int(row[0] != 0), tuple(row), second)
    return arm


@st.composite
def samples(draw, measure, smallest=2, size=1000):
    """Values of the units of one arm."""
    number = st.integers(0, 1) if measure == "conversion" else st.integers(-size, size)
    rows = st.lists(st.tuples(*[number] * VALUES[measure]), min_size=smallest, max_size=12)
    return [
        # A denominator is positive.
        tuple(abs(value) + 1 if measure.endswith("ratio") and j % 2 else value for j, value in enumerate(row))
        for row in draw(rows)
    ]


def compare(arms, measure, scale=0, strata=None):
    """The difference of the second arm and the first one; further arms only pull at the slope.

    `strata` are the arms of every allocation, by default there is one.
    """
    scales = (scale,) * VALUES[measure]
    slope = adjustment([arms], FORMS[measure], scales)
    compared = [arm for stratum in strata or [arms] for arm in stratum]
    pairs = [(place + 1, place) for place in range(0, len(compared), len(arms))]
    return differences([Sample(compared, scales, FORMS[measure], slope)], Pairs([pairs]))


def numbers(found, at=0):
    """All of one comparison, NaN as such."""
    return np.array([getattr(found, field.name)[at] for field in fields(Differences)])


def estimated(rows, measure, theta):
    """The estimate and each unit's influence on it, by the textbook, from the values themselves."""
    columns = np.array(rows, float).T
    if measure in ("mean", "conversion"):
        return columns[0].mean(), columns[0]
    if measure == "adjusted mean":
        return estimated(rows, "mean", 0)[0] - theta * columns[1].mean(), columns[0] - theta * columns[1]
    ratio = columns[0].sum() / columns[1].sum()
    influence = (columns[0] - ratio * columns[1]) / columns[1].mean()
    if measure == "adjusted ratio":
        past, past_influence = estimated([row[2:] for row in rows], "ratio", 0)
        return ratio - theta * past, influence - theta * past_influence
    return ratio, influence


@settings(max_examples=50)
@given(measure=st.sampled_from(MEASURES), data=st.data())
def test_sums_say_what_the_values_say(measure, data):
    rows = [data.draw(samples(measure)) for _ in range(2)]
    arms = [arm_of(each) for each in rows]
    theta = sum(adjustment([arms], FORMS[measure], (0,) * VALUES[measure]).slopes)

    found = compare(arms, measure)

    (control, control_influence), (treated, influence) = (estimated(each, measure, theta) for each in rows)
    ddof = 0 if measure == "conversion" else 1
    spread = [np.var(each, ddof=ddof) / len(each) for each in (influence, control_influence)]
    plain = measure.replace("adjusted ", "")
    baseline, baseline_influence = estimated(rows[0], plain, 0)
    size = 1.0 + max(abs(value) for arm in rows for row in arm for value in row) ** 2 * (1 + theta**2)
    near = {"rtol": 1e-9, "atol": 1e-12 * size}
    np.testing.assert_allclose(found.difference[0], treated - control, **near)
    np.testing.assert_allclose(found.variance[0], sum(spread), **near)
    np.testing.assert_allclose(found.baseline[0], baseline, **near)
    cov = np.cov(control_influence, baseline_influence, ddof=ddof)[0, 1] / len(rows[0])
    np.testing.assert_allclose(found.covariance[0], cov, **near)


@settings(max_examples=50)
@given(measure=st.sampled_from(MEASURES), data=st.data())
def test_the_order_of_merging_changes_no_bit(measure, data):
    rows = [data.draw(samples(measure)) for _ in range(2)]
    shuffled = [data.draw(st.permutations(each)) for each in rows]

    whole = compare([arm_of(each) for each in rows], measure)
    merged = compare([arm_of(each[3:]) + arm_of(each[:3]) for each in shuffled], measure)

    np.testing.assert_array_equal(numbers(whole), numbers(merged))


@settings(max_examples=50)
@given(measure=st.sampled_from(sorted(set(MEASURES) - {"conversion"})), data=st.data(), exponent=st.integers(1, 6))
def test_the_unit_of_the_values_changes_no_bit(measure, data, exponent):
    rows = [data.draw(samples(measure)) for _ in range(2)]

    plain = compare([arm_of(each) for each in rows], measure, scale=2)
    finer = [arm_of([[value * 10**exponent for value in row] for row in each]) for each in rows]

    np.testing.assert_array_equal(numbers(plain), numbers(compare(finer, measure, scale=2 + exponent)))


@settings(max_examples=50)
@given(measure=st.sampled_from(MEASURES), data=st.data())
def test_swapping_the_arms_turns_the_difference_around(measure, data):
    arms = [arm_of(data.draw(samples(measure))) for _ in range(2)]

    one, other = compare(arms, measure), compare(arms[::-1], measure)

    assert one.difference == pytest.approx(-other.difference, rel=1e-9, abs=1e-9)
    assert one.variance == pytest.approx(other.variance, rel=1e-6, abs=1e-9)


@settings(max_examples=50)
@given(measure=st.sampled_from(["adjusted mean", "adjusted ratio"]), data=st.data())
def test_all_comparisons_of_a_metric_have_one_slope_and_one_control(measure, data):
    control, *treatments = (arm_of(data.draw(samples(measure))) for _ in range(3))
    scales = (0,) * VALUES[measure]
    slope = adjustment([[control, *treatments]], FORMS[measure], scales)

    sample = Sample([control, *treatments], scales, FORMS[measure], slope)
    found = differences([sample], Pairs([[(1, 0)], [(2, 0)]]))

    assert found.control_mean[0] == found.control_mean[1]
    np.testing.assert_allclose(found.difference, found.mean - found.control_mean, rtol=1e-6, atol=1e-6)


@settings(max_examples=50)
@given(measure=st.sampled_from(["adjusted mean", "adjusted ratio"]), data=st.data())
def test_a_past_that_does_not_vary_adjusts_nothing(measure, data):
    rows = [[(*row[: len(row) // 2], *[7] * (len(row) // 2)) for row in data.draw(samples(measure))] for _ in range(2)]
    plain = measure.removeprefix("adjusted ")
    arms = [arm_of(each) for each in rows]
    assert adjustment([arms], FORMS[measure], (0,) * VALUES[measure]) == Adjustment()

    other = Sample([arm.leading(1) for arm in arms], (0,))  # computed beside it
    sample = Sample(arms, (0,) * VALUES[measure], FORMS[measure])
    adjusted = differences([other, sample, other], Pairs([[(1, 0)]]))

    unadjusted = compare([arm_of([row[: len(row) // 2] for row in each]) for each in rows], plain)
    np.testing.assert_array_equal(numbers(adjusted, 1), numbers(unadjusted))


def test_units_that_do_as_they_did_before_leave_nothing_to_chance():
    rows = [[(3, 3), (8, 8), (1, 1)], [(4, 4), (9, 9), (2, 2), (2, 2)]]

    found = compare([arm_of(each) for each in rows], "adjusted mean")

    assert (found.difference[0], found.variance[0]) == (0.0, 0.0)
    assert found.baseline_variance[0] > 0.0


@pytest.mark.parametrize("measure", ["ratio", "adjusted mean", "adjusted ratio"])
def test_a_change_of_weights_makes_no_difference_of_its_own(measure):
    # Twice as high in the second allocation, in both arms; only the weights moved.
    units = {"ratio": (2, 5), "adjusted mean": (2, 5), "adjusted ratio": (2, 5, 1, 3)}[measure]
    spread = {"ratio": (1, 0), "adjusted mean": (1, 0), "adjusted ratio": (1, 0, 2, 0)}[measure]

    def stratum(n, factor):
        rows = [[factor * value for value in row] for row in (units, np.add(units, spread))]
        rows = [[value // (factor if j == 1 and "ratio" in measure else 1) for j, value in enumerate(r)] for r in rows]
        return arm_of([tuple(map(int, row)) for row in rows] * (n // 2))

    strata = [(stratum(50, 1), stratum(50, 1)), (stratum(180, 2), stratum(20, 2))]
    totals = [sum(arms, ArmMoments()) for arms in zip(*strata, strict=True)]

    found = compare(totals, measure, strata=strata)

    assert found.difference[0] == 0.0
    assert found.n[0] + found.control_n[0] == 300


@settings(max_examples=50)
@given(st.sampled_from(MEASURES), st.data())
def test_nothing_breaks_at_the_extremes(measure, data):
    extreme = st.one_of(st.just(0), st.integers(-3, 3), st.integers(LIMIT - 3, LIMIT), st.integers(-LIMIT, 3 - LIMIT))
    if measure == "conversion":
        extreme = st.integers(0, 1)
    rows = st.lists(st.tuples(*[extreme] * VALUES[measure]), max_size=4)
    arms = [arm_of(data.draw(rows)) for _ in range(3)]
    arms = [arm if arm.n else ArmMoments(0, 0, (0,) * VALUES[measure], (0,) * 10) for arm in arms]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(arms, measure, scale=data.draw(st.integers(0, 9)))

    assert not np.isinf(numbers(found)).any()
    assert np.isnan(found.difference) | (found.variance >= 0.0)


def test_denominators_that_cancel_each_other_adjust_nothing():
    arms = [arm_of([(1, 2, 1, 5), (3, 4, 2, 6)]), arm_of([(2, -3, 1, 7), (1, -3, 4, 2)])]

    assert adjustment([arms], FORMS["adjusted ratio"], (0,) * 4) == Adjustment()
    assert np.isfinite(compare(arms, "adjusted ratio").difference[0])


def test_an_empty_look_is_empty():
    assert len(differences([], Pairs([[(1, 0)]])).difference) == 0
    assert adjustment([], FORMS["adjusted mean"], (0, 0)) == Adjustment()
