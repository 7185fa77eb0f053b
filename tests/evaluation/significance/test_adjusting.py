"""Numbers the other way beside those that decide, and strata, from the sums of looks."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from evaluation.significance.look import encode_look, look
from evaluation.significance.moments import ArmMoments
from evaluation.significance.strata import FEWEST, strata
from schemas.catalog import Breakdown, Goal

GOAL = Goal(metric="spent", role="primary")
PAST = {"spent": {"cuped": {"lookback": "7d"}, "cap": 1000}}


def sums_of(values):
    """n, nonzero, sums, products, of units' numbers (n, k)."""
    columns = [[int(each) for each in column] for column in values.T]
    products = [
        sum(a * b for a, b in zip(one, other, strict=True)) for one, other in combinations_with_replacement(columns, 2)
    ]
    return len(values), int(np.count_nonzero(values[:, 0])), [sum(each) for each in columns], products


@pytest.fixture
def arms():
    """Of each variant spending after and before the entry, in cents, and the plan."""
    chance = np.random.default_rng(8)

    def arm(lift):
        plan = chance.integers(0, 2, 2000)
        before = chance.poisson(50, 2000)
        return np.stack([before + 40 * plan + chance.poisson(20 + lift, 2000), before], axis=1), plan

    return {"control": arm(0), "treatment": arm(1)}


@pytest.fixture
def cell(run_of, aggregate_of, arms):
    """The settled cell of a look at the first units, after a look before; and the look."""

    def made(units=2000, previous=None, rules=4, **analysis):
        run = run_of(
            [GOAL],
            types={"spent": "sum"},
            definitions=PAST,
            analysis=analysis,
            breakdowns=(Breakdown(property="platform", values=("p0", "p1")),),
        )
        sums = {("spent", "settled", name): sums_of(values[:units]) for name, (values, _) in arms.items()}
        for name, (values, plan) in arms.items():
            for code in range(2):
                sums["spent", "settled", name, 0, f"platform=p{code}"] = sums_of(values[:units][plan[:units] == code])
        told = look(run, [aggregate_of(sums)], previous, rules=rules)
        return next(each for each in told.cells if (each.reading, each.segment) == ("settled", "all")), told

    return made


def test_the_way_that_decides_and_the_other_change_places(cell):
    plain, adjusted = cell()[0], cell(cuped=True)[0]

    assert (plain.adjusted, adjusted.adjusted) == ("none", "CUPED")
    for one, other in ((plain, adjusted), (adjusted, plain)):
        assert (one.other_estimate, one.other_standard_error) == (other.estimate, other.standard_error)
        assert one.other_running_p_value == other.running_p_value
        assert (one.other_running_lower, one.other_running_upper) == (other.running_lower, other.running_upper)
        assert one.other_running_relative_upper == other.running_relative_upper
        assert one.variance_left == pytest.approx((adjusted.standard_error / plain.standard_error) ** 2, rel=1e-12)
    assert plain.variance_left < 0.95


def test_running_values_go_on_the_other_way_too(cell):
    _, first = cell(units=1000)
    second, _ = cell(previous=first)
    _, adjusted = cell(units=1000, cuped=True)
    expected, _ = cell(previous=adjusted, cuped=True)

    assert second.other_running_lower == expected.running_lower
    assert second.other_running_p_value == expected.running_p_value


def test_by_the_rules_of_before_cells_say_what_they_said(cell):
    ours, told = cell(rules=3)

    assert b"other_" not in encode_look(told)
    assert b'"adjusted":' not in encode_look(told)
    fields = ("estimate", "standard_error", "running_lower", "running_p_value", "adjusted_p_value", "judgement")
    assert all(getattr(ours, name) == getattr(cell()[0], name) for name in fields)


def test_strata_are_compared_within_and_weighed_by_their_units(cell, arms):
    found = cell(strata="platform")[0]

    (y, plan), (control, its_plan) = (
        (values[:, 0] / 100, code) for values, code in (arms["treatment"], arms["control"])
    )
    shares = [(np.sum(plan == code) + np.sum(its_plan == code)) / 4000 for code in range(2)]
    effects = [y[plan == code].mean() - control[its_plan == code].mean() for code in range(2)]
    within = [
        sum(
            np.var(each[codes == code], ddof=1) / np.sum(codes == code)
            for each, codes in ((y, plan), (control, its_plan))
        )
        for code in range(2)
    ]
    estimate = np.dot(shares, effects)
    variance = np.dot(np.square(shares), within) + np.dot(shares, np.square(effects - estimate)) / 4000
    assert (found.adjusted, found.estimate) == ("strata", pytest.approx(estimate, rel=1e-9))
    assert found.standard_error == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert found.other_standard_error == cell()[0].standard_error
    assert cell(strata="platform", cuped=True)[0].standard_error < found.standard_error


def test_small_strata_are_one_together_and_no_unit_is_lost():
    def arms_of(*units):
        return [ArmMoments(n, n, (n,), (n,)) for n in units]

    large, small, tiny = arms_of(900, 800), arms_of(FEWEST - 1, 90), arms_of(1, 0)

    assert strata([large, arms_of(FEWEST, FEWEST)]) == [large, arms_of(FEWEST, FEWEST)]
    assert strata([large, small, tiny]) == [large, arms_of(FEWEST, 90)]  # together they are enough
    assert strata([large, arms_of(50, 60), tiny]) == [large, arms_of(51, 60)]  # else with the smallest other
    assert strata([tiny, arms_of(2, 3)]) == [arms_of(3, 3)]
