"""What the inference promises, simulated through whole looks: how often it errs when watched all the time."""

import numpy as np
import pytest

from evaluation.significance.look import look
from schemas.catalog import Goal

EXPERIMENTS = 400  # each is a metric of one run, and nothing is divided among them
LOOKS = 60
STEP = 160  # new units from look to look
EVEN = {"control": 1, "treatment": 1}
SKEWED = {"control": 9, "treatment": 1}
BOUND = 0.05 + 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)

GOALS = [Goal(metric=f"m{i}", role="secondary") for i in range(EXPERIMENTS)]
WINDOWS = {goal.metric: "none" for goal in GOALS}


def conversion(rate):
    """Draws (non-zero, sum, sum of squares) of so many new units in every experiment."""

    def draw(rng, units, look_at):
        x = rng.binomial(units, rate(look_at) if callable(rate) else rate, EXPERIMENTS)
        return x, x, x

    return draw


def revenue(paying):
    """Lognormal spending, in cents, of a share of the units."""

    def draw(rng, units, _):
        cents = np.rint(100 * rng.lognormal(3.0, 1.0, (units, EXPERIMENTS))).astype(np.int64)
        cents *= rng.random((units, EXPERIMENTS)) < paying
        return (cents > 0).sum(0), cents.sum(0), (cents * cents).sum(0)

    return draw


@pytest.fixture
def watched(run_of, aggregate_of):
    """Watches every experiment at every look."""

    def watched(kind, draws, allocation_of, weights):
        run = run_of(GOALS, dict.fromkeys(WINDOWS, kind), WINDOWS, weights=weights, analysis={"correction": "none"})
        rng = np.random.default_rng(20_26)
        sums, naive, last = {}, np.zeros(EXPERIMENTS, bool), None
        for index in range(LOOKS):
            allocation = allocation_of(index)
            shares = weights[allocation]
            for variant, share in shares.items():
                units = STEP * share // sum(shares.values())
                new = [np.full(EXPERIMENTS, units), *draws[variant](rng, units, index)]
                before = sums.get((variant, allocation), np.zeros((4, EXPERIMENTS), np.int64))
                sums[variant, allocation] = before + np.array(new, np.int64)
            rows = {
                (goal.metric, "live", variant, where): tuple(totals[:, i].tolist())
                for (variant, where), totals in sums.items()
                for i, goal in enumerate(GOALS)
            }
            last = look(run, [aggregate_of(rows)], last)
            naive |= [abs(cell.estimate or 0) > 1.96 * (cell.standard_error or np.inf) for cell in last.cells]
        p_values = [(cell.running_p_value, cell.alpha) for cell in last.cells]
        rejected = np.array([p is not None and p < alpha for p, alpha in p_values])
        return rejected.mean(), naive.mean(), last

    return watched


@pytest.mark.parametrize(
    ("kind", "draw", "weights"),
    [
        ("conversion", conversion(0.1), EVEN),
        ("conversion", conversion(0.05), SKEWED),
        ("sum", revenue(0.05), EVEN),
        ("sum", revenue(0.1), SKEWED),
    ],
    ids=["conversion 50/50", "conversion 90/10", "revenue 50/50", "revenue 90/10"],
)
def test_watching_all_the_time_does_not_raise_false_positives(watched, kind, draw, weights):
    rejected, naive, last = watched(kind, dict.fromkeys(weights, draw), lambda _: 0, (weights,))

    assert rejected <= BOUND
    assert naive > 2 * BOUND  # the same harness, judged by |z| > 1.96 at any look
    assert any(cell.status == "ok" for cell in last.cells)


def test_a_change_of_weights_while_conversion_drifts_does_not_raise_false_positives(watched):
    drifting = conversion(lambda index: 0.1 if index < LOOKS // 2 else 0.2)

    rejected, _, last = watched(
        "conversion", {"control": drifting, "treatment": drifting}, lambda index: 2 * index // LOOKS, (EVEN, SKEWED)
    )

    pooled = [cell.sum / cell.n - cell.control_sum / cell.control_n for cell in last.cells]
    assert np.mean(pooled) < -0.02  # what pooling would show where there is no effect
    assert abs(np.mean([cell.estimate for cell in last.cells])) < 0.002
    assert rejected <= BOUND


def test_a_real_effect_is_found_and_covered(watched):
    draws = {"control": conversion(0.10), "treatment": conversion(0.13)}

    rejected, _, last = watched("conversion", draws, lambda _: 0, (EVEN,))

    covered = [cell.running_lower <= 0.03 <= cell.running_upper for cell in last.cells]
    assert rejected > 0.9
    assert np.mean(covered) >= 1 - BOUND
