"""How many units a difference takes."""

import numpy as np
import pytest
from scipy import stats

from evaluation.significance import boschloo, power


def test_the_power_at_the_units_that_were_asked_for_is_the_power_that_was_asked_for():
    units = power.fixed_units(0.01, (0.09, 0.1), 0.5, 0.05, 0.8)

    variance = 0.09 / units + 0.1 / (units / 2)
    assert power.fixed_power(0.01, variance, 0.05) == pytest.approx(0.8, rel=1e-5)
    assert power.detectable(variance, 0.05, 0.8) == pytest.approx(0.01)


@pytest.mark.parametrize("planned", [1_000, 10_000, 100_000])
def test_a_sequential_test_needs_more_units_than_a_single_look(planned):
    effect, spread, units = 0.1, 2.0, 1_000
    growth = power.sequential_growth(effect, 2 * spread / units, units, planned, 0.05, power=0.8)

    grown = 2 * spread / (units * growth)
    assert power.sequential_power(effect, grown, units * growth, planned, 0.05) == pytest.approx(0.8)
    assert units * growth > 2 * power.fixed_units(effect, (spread / 2, spread / 2), 1.0, 0.05, 0.8)


def test_enough_units_need_not_grow():
    assert power.sequential_growth(1.0, 0.0001, 10_000, 10_000, 0.05, power=0.8) == 1.0


def test_no_effect_is_seen_with_chance_alpha():
    np.testing.assert_allclose(power.fixed_power(0.0, 1.0, 0.05), 0.05)


@pytest.mark.parametrize(
    ("rate", "n", "control_rate", "m"), [(0.72, 7, 0.12, 7), (0.05, 90, 0.3, 30), (0.9, 20, 0.5, 60)]
)
def test_the_power_of_boschloos_test_is_the_chance_of_all_it_rejects_on_the_side_of_the_effect(
    rate, n, control_rate, m
):
    total = 0.0
    for x in range(n + 1):
        for y in range(m + 1):
            more = (x, n, y, m) if rate > control_rate else (y, m, x, n)
            if (x * m > y * n) == (rate > control_rate) and 2 * boschloo.one_sided(*more, np.zeros(1, int))[0] < 0.05:
                total += stats.binom.pmf(x, n, rate) * stats.binom.pmf(y, m, control_rate)

    assert power.boschloo_power(rate, n, control_rate, m, 0.05) == pytest.approx(total, abs=1e-9)
