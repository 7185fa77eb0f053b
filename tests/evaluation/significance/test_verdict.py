"""Verdicts: what a person should do, and the sentence that says why."""

import pytest

from evaluation.significance.look import look
from schemas.catalog import Goal

LIFT, HARM, FLAT = ((4000, 400), (4000, 600)), ((4000, 600), (4000, 400)), ((4000, 400), (4000, 402))


@pytest.fixture
def verdict_on(run_of, aggregate_of, conversions):
    def verdict_on(goals, counts, windows=None, units=None, **fields):
        sums = {}
        for goal in goals:
            sums |= conversions(*counts[goal.metric], metric=goal.metric)
        return look(run_of(goals, windows=windows), [aggregate_of(sums, units=units, **fields)], None).verdict

    return verdict_on


def test_a_flag_without_metrics_has_no_verdict(verdict_on):
    assert verdict_on([], {}).decision == "none"


@pytest.mark.parametrize(
    ("direction", "counts", "decision"),
    [
        ("increase", LIFT, "ship"),
        ("increase", HARM, "roll back"),
        ("increase", FLAT, "keep running"),
        ("decrease", LIFT, "roll back"),
        ("decrease", HARM, "ship"),
    ],
)
def test_the_primary_metric_decides(verdict_on, direction, counts, decision):
    goal = Goal(metric="orders", role="primary", direction=direction)

    verdict = verdict_on([goal], {"orders": counts})

    assert verdict.decision == decision
    assert "treatment" in verdict.reason
    assert "orders" in verdict.reason


def test_the_reason_names_the_numbers(verdict_on):
    reason = verdict_on([Goal(metric="orders", role="primary")], {"orders": LIFT}).reason

    assert reason == "treatment improves orders: +50.0% [+25.1%, +81.3%], p < 0.0001."


def test_a_harmed_guardrail_stops_a_winner(verdict_on, primary):
    goals = [primary, Goal(metric="returns", role="guardrail", direction="decrease")]

    safe = verdict_on(goals, {"orders": LIFT, "returns": FLAT})
    harmed = verdict_on(goals, {"orders": LIFT, "returns": LIFT})

    assert safe.decision == "ship"
    assert harmed.decision == "roll back"
    assert "returns" in harmed.reason


def test_a_loss_that_is_surely_within_the_margin_is_no_harm(verdict_on, primary):
    slight = (400_000, 200_000), (400_000, 197_000)

    def decision(margin):
        goals = [primary, Goal(metric="visits", role="guardrail", margin=margin)]
        return verdict_on(goals, {"orders": LIFT, "visits": slight}).decision

    assert decision(None) == "roll back"
    assert decision(0.05) == "ship"


def test_secondary_metrics_do_not_decide(verdict_on):
    verdict = verdict_on([Goal(metric="orders")], {"orders": LIFT})

    assert verdict.decision == "keep running"
    assert "No metric is primary" in verdict.reason


def test_a_broken_split_comes_before_any_result(verdict_on, primary):
    verdict = verdict_on([primary], {"orders": ((4000, 400), (3400, 600))})

    assert verdict.decision == "needs attention"
    assert "3,400 of 7,400" in verdict.reason or "4,000 of 7,400" in verdict.reason


def test_many_jumpers_need_attention(verdict_on, primary):
    few = verdict_on([primary], {"orders": LIFT}, jumpers=400)
    many = verdict_on([primary], {"orders": LIFT}, jumpers=430)

    assert few.decision == "ship"
    assert many.decision == "needs attention"
    assert "430 of 8,430" in many.reason


def test_a_metric_without_a_window_claims_no_guarantee(verdict_on, primary):
    verdict = verdict_on([primary], {"orders": LIFT}, windows={"orders": "none"})

    assert verdict.decision == "ship"
    assert "not claimed" in verdict.reason


def test_live_readings_do_not_decide_where_units_can_settle(run_of, aggregate_of, conversions, primary):
    sums = conversions((4000, 400), (4000, 600), readings=("live",))

    verdict = look(run_of([primary]), [aggregate_of(sums)], None).verdict

    assert verdict.decision == "keep running"


def test_too_few_units_are_called_so(verdict_on, primary):
    verdict = verdict_on([primary], {"orders": ((50, 5), (50, 8))})

    assert verdict.decision == "keep running"
    assert "50 units of treatment and 50 of control" in verdict.reason
    assert "too few" in verdict.reason


def test_the_best_of_several_treatments_ships(run_of, aggregate_of, conversions, primary):
    sums = conversions((4000, 400), (4000, 600))
    sums |= {("orders", reading, "other"): (4000, 700, 700, 700) for reading in ("settled", "live")}

    run = run_of([primary], weights=({"control": 1, "treatment": 1, "other": 1},))
    verdict = look(run, [aggregate_of(sums)], None).verdict

    assert verdict.decision == "ship"
    assert verdict.reason.startswith("other ")
