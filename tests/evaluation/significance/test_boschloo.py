"""The fixed-horizon test of conversions, through whole looks: which it is, and intervals that say what its p says."""

import numpy as np
import pytest
from scipy.stats import binom, boschloo_exact, fisher_exact

from evaluation.significance import boschloo
from evaluation.significance.look import look
from schemas.catalog import Goal


@pytest.mark.parametrize("table", [(5, 150, 0, 150), (5, 60, 3, 300), (33, 224, 13, 227)])
def test_n03_a_p_value_is_at_most_fisher_s_and_hardly_more_than_boschloo_s(table):
    (p_value,) = boschloo.one_sided(*([each] for each in table), np.zeros(1, np.int64))

    x, n, y, m = table
    counts = [[x, y], [n - x, m - y]]
    assert p_value <= fisher_exact(counts, "greater").pvalue
    # Over all rates, scipy's search for the worst of which may miss it.
    assert p_value <= 1.03 * boschloo_exact(counts, "greater", n=32).pvalue


def test_nothing_changes_where_the_normal_distribution_takes_over():
    """Just before and just behind it."""
    for n, m in ((10_000, 10_000), (100_000, 900_000), (990_000, 10_000)):
        k = np.arange(300, 12_000)
        variance = n * m * k / (n + m) ** 2 * (1.0 - k / (n + m))
        k = int(k[np.argmax(variance >= boschloo.ENOUGH)])
        for z in (1.6, 2.0, 3.0):
            x = int(k * n / (n + m) + z * np.sqrt(boschloo.ENOUGH))
            before, after = boschloo.one_sided([x] * 2, [n] * 2, [k - 1 - x, k + 1 - x], [m] * 2, np.arange(2))
            between = boschloo.one_sided([x], [n], [k - x], [m], np.zeros(1, np.int64))[0]
            assert min(before, after) * 0.97 < between < max(before, after) * 1.03


@pytest.fixture
def looked_at(run_of, aggregate_of, conversions):
    """The cells of a look at many tables (conversions, units, of treatment and control)."""

    def looked_at(tables, **analysis):
        goals = [Goal(metric=f"m{i}") for i in range(len(tables))]
        sums = {}
        for goal, (x, n, y, m) in zip(goals, tables, strict=True):
            sums |= conversions((m, y), (n, x), metric=goal.metric, readings=("settled",))
        run = run_of(goals, analysis={"method": "t-test", "correction": "none", **analysis})
        cells = look(run, [aggregate_of(sums)], None).cells
        return [cell for cell in cells if cell.reading == "settled"]

    return looked_at


@pytest.mark.parametrize("sided", ["one", "two"])
def test_n03_an_interval_excludes_no_difference_where_the_p_value_is_below_alpha(looked_at, sided):
    tables = [(x, n, y, m) for n, m in ((150, 150), (200, 2_000), (500, 4_500)) for x in range(9) for y in range(16)]
    tables += [(x, 5_000, 600, 5_000) for x in range(500, 700, 5)]

    cells = looked_at(tables, sided=sided)

    assert {cell.method for cell in cells} == {"boschloo"}
    assert sum(cell.p_value is not None and cell.p_value < 0.05 for cell in cells) > 30
    for cell in cells:
        if cell.p_value is None:
            assert (cell.nonzero, cell.control_nonzero, cell.status) == (0, 0, "zero variance")
            continue
        for lower, upper in (
            (cell.lower, cell.upper),
            (cell.relative_lower, cell.relative_upper),
        ):
            is_beyond = (lower is not None and lower > 0.0) or (upper is not None and upper < 0.0)
            assert is_beyond == (cell.p_value < 0.05)


@pytest.mark.parametrize(("n", "m"), [(150, 150), (50, 450), (450, 50)])
def test_n03_intervals_of_rare_conversions_hold_the_truth(looked_at, n, m):
    most = [int(binom.isf(1e-9, units, 0.06)) + 1 for units in (n, m)]
    x, y = (each.ravel() for each in np.indices([each + 1 for each in most]))

    cells = looked_at([(int(each), n, int(other), m) for each, other in zip(x, y, strict=True)])

    ends = np.array([(cell.lower, cell.upper, cell.relative_lower, cell.relative_upper) for cell in cells], np.float64)
    lower, upper, relative_lower, relative_upper = (
        np.where(np.isnan(end), sign * np.inf, end) for end, sign in zip(ends.T, (-1, 1, -1, 1), strict=True)
    )
    for rate, control_rate in ((0.03, 0.03), (0.02, 0.06), (0.05, 0.01), (0.005, 0.03)):
        weights = binom.pmf(x, n, rate) * binom.pmf(y, m, control_rate)
        difference, lift = rate - control_rate, rate / control_rate - 1.0
        assert weights @ ((lower <= difference) & (difference <= upper)) >= 0.945
        assert weights @ ((relative_lower <= lift) & (lift <= relative_upper)) >= 0.945
