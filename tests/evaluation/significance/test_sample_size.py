"""Before the start: how many units a comparison takes, and what it sees with those at hand."""

import numpy as np
import pytest

from evaluation.catalog.in_force import MetricInForce
from evaluation.significance import gates, power
from evaluation.significance.design import Design
from evaluation.significance.sample_size import Supply, planned_units, sample_sizes
from schemas.catalog import Analysis, Baseline, Flag, Goal, Metric, Variant
from schemas.plan import Plan, PlanStep
from schemas.written import MOST_UNITS

# Simulated experiments, R = 1,000: normal values, an effect of a tenth of their deviation, a look each 40 units.
# By N*: share that has decided with 3,142 and with 6,284 units.
SIMULATED = {1_000: (0.504, 0.860), 5_000: (0.499, 0.882), 10_000: (0.434, 0.875), 100_000: (0.002, 0.377)}


@pytest.mark.parametrize("planned", SIMULATED)
def test_a_watched_test_sees_as_much_as_simulated_experiments_did(planned):
    design = Design(mean=1.0, deviation=1.0, alpha=0.05, planned=planned)

    seen = [design.power(0.1, units, watched=True) for units in (3_142, 6_284)]

    np.testing.assert_allclose(seen, SIMULATED[planned], atol=0.035)


@pytest.mark.parametrize(("alone", "planned", "simulated"), [(3.12 * 126, 5_000, 3.03 * 126), (6_091, 3_140, 5_087)])
def test_crossings_at_earlier_looks_spare_units(alone, planned, simulated):
    needed = alone * power.earlier(alone, planned)

    assert needed == pytest.approx(simulated, rel=0.03)
    assert power.as_single_look(needed, planned) == pytest.approx(alone)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "expected",
    [
        {"mean": 0.12},
        {"mean": 0.12, "is_loss": True, "ratio": 0.25},
        {"mean": 40.0, "deviation": 90.0, "ratio": 3.0, "alpha": 0.01},
    ],
)
def test_units_power_and_effect_are_three_readings_of_one_curve(expected, watched):
    design = Design(**{"alpha": 0.05, "planned": 20_000, **expected})

    units = design.units(0.08, 0.8, watched=watched)

    assert design.power(0.08, units, watched=watched) == pytest.approx(0.8, abs=1e-6)
    assert design.effect(units, 0.8, watched=watched) == pytest.approx(0.08, abs=1e-6)


def test_too_few_units_see_nothing():
    design = Design(mean=0.05, alpha=0.05, planned=10_000)
    closed = 2 * gates.CONVERTED / 0.05 - 1  # units whose gate is closed yet

    assert design.power(19.0, closed, watched=True) == 0.0
    assert design.effect(closed, 0.8, watched=True) is None
    assert design.units(15.0, 0.8, watched=True) == closed + 1


def planned(goals, baselines, supply=None, **flag):
    kinds = {"buys": {"type": "conversion"}, "spends": {"type": "sum", "property": "price"}}
    metrics = {
        key: MetricInForce(Metric(key=key, owner="shop", event="order", window="2d", **kind), 1, 0)
        for key, kind in kinds.items()
    }
    definition = Flag(key="checkout", owner="shop", metrics=tuple(goals), **flag)
    return list(sample_sizes(definition, metrics, baselines, 0.8, supply or Supply(None, None)))


def test_an_experiment_takes_what_its_weights_alpha_and_goals_say():
    variants = (Variant(key="control", weight=2), Variant(key="a", weight=1), Variant(key="b", weight=1))
    goals = [
        Goal(metric="buys", role="primary", minimum_effect=0.1),
        Goal(metric="spends", role="guardrail", margin=0.05),
    ]
    baselines = {"buys": Baseline(mean=0.1), "spends": Baseline(mean=20.0, deviation=50.0)}

    found = planned(goals, baselines, Supply(4_000, None), variants=variants, rollout=50)

    assert [(each.metric, each.treatment) for each in found] == [
        ("buys", "a"),
        ("buys", "b"),
        ("spends", "a"),
        ("spends", "b"),
    ]
    buys, spends = found[0], found[2]
    # (z_{1 - 0.0125} + z_0.8)^2 (0.09 + 2 * 0.11 * 0.89)/0.01^2 units of control, and half as many treated
    assert buys.alpha == 0.025
    assert (buys.fixed.control, buys.fixed.treatment) == (pytest.approx(27_164, abs=3), pytest.approx(13_582, abs=2))
    assert buys.recommended_units == buys.fixed.control + buys.fixed.treatment
    assert buys.fixed.total == pytest.approx(buys.recommended_units / 0.75, abs=2)
    assert buys.fixed.days == pytest.approx(buys.fixed.total / 2_000 + 2)  # rollout 50 %, and a window of two days
    # A guardrail's bound is one-sided, at its own alpha: (z_0.95 + z_0.8)^2 50^2 (1 + 2)/1^2 of control
    assert (spends.effect, spends.sides, spends.alpha) == (-0.05, 1, 0.05)
    assert spends.fixed.control == pytest.approx(46_370, rel=1e-4)


def test_units_at_hand_say_what_they_can_show():
    goals, variants = [Goal(metric="buys", role="primary", minimum_effect=0.1)], (Variant(key="a"), Variant(key="b"))

    (plan,) = planned(goals, {"buys": Baseline(mean=0.1)}, Supply(None, 20_000), variants=variants)

    assert plan.fixed.days is None
    assert 0.2 < plan.sequential.power < plan.fixed.power < 0.8
    assert plan.sequential.minimum_effect > plan.fixed.minimum_effect > 0.1


def test_goals_without_an_effect_or_a_baseline_are_not_planned():
    goals = [Goal(metric="buys", role="primary"), Goal(metric="spends", minimum_effect=0.1)]

    assert planned(goals, {"buys": Baseline(mean=0.1)}, variants=(Variant(key="a"), Variant(key="b"))) == []


@pytest.mark.parametrize("effect", [1e-100, 1e-12])
def test_a_plan_that_nobody_could_carry_out_is_a_number_still(effect):
    metric = MetricInForce(Metric(key="m", owner="o", type="conversion", event="e", window="1d"), 1, 0)
    flag = Flag(
        key="f",
        owner="o",
        variants=(Variant(key="control"), Variant(key="treatment")),
        metrics=(Goal(metric="m", role="primary", minimum_effect=effect),),
        analysis=Analysis(baseline=Baseline(mean=0.1)),
    )

    assert planned_units(flag, {"control": 1, "treatment": 1}, {"m": metric}, "treatment") == MOST_UNITS


def test_days_count_with_the_rollout_of_the_last_step_of_a_plan():
    goals = [Goal(metric="buys", role="primary", minimum_effect=0.1)]
    variants = (Variant(key="control"), Variant(key="treatment"))
    plan = Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=50)))

    by_plan, by_hand = (
        planned(goals, {"buys": Baseline(mean=0.1)}, Supply(4_000, None), variants=variants, **fields)
        for fields in ({"plan": plan}, {"rollout": 50})
    )

    assert by_plan == by_hand
    assert by_plan[0].rollout == 50
