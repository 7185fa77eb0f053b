"""Verdicts: what a person should do, and the sentence that says why."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from evaluation.significance.look import look
from schemas.catalog import Goal
from schemas.logs import Gap
from tests.evaluation.significance.conftest import make_conversions

LIFT, HARM, FLAT = ((4000, 400), (4000, 600)), ((4000, 600), (4000, 400)), ((4000, 400), (4000, 402))


@pytest.fixture
def verdict_on(run_of, aggregate_of, conversions):
    def verdict_on(goals, counts, windows=None, units=None, run=None, **fields):
        sums = {}
        for goal in goals:
            sums |= conversions(*counts[goal.metric], metric=goal.metric)
        of_run = run_of(goals, windows=windows, **(run or {}))
        return look(of_run, [aggregate_of(sums, units=units, **fields)], None).verdict

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


@pytest.mark.parametrize(
    ("margins", "counts", "window", "says"),
    [
        ({"fails": 0.3}, ((400_000, 40_000), (400_000, 40_000)), "10s", "within its margin of 30%."),
        (
            {"fails": 0.3},
            ((400_000, 40_000), (400_000, 40_000)),
            "none",
            "fails is proved safe within its margin of 30% (live reading of fails: without a window the guarantee of "
            "always-valid results is not claimed).",
        ),
        (
            {"fails": None, "errors": None},
            FLAT,
            "none",
            "; no guardrail is harmed (live reading of fails and errors: without a window the guarantee of "
            "always-valid results is not claimed).",
        ),
        ({"fails": None}, LIFT, "none", "treatment harms fails (live reading): +50.0% ["),
    ],
)
def test_a_guardrail_without_a_window_says_on_what_it_rests(verdict_on, margins, counts, window, says):
    goals = [
        Goal(metric="orders", role="primary"),
        *(Goal(metric=each, role="guardrail", direction="decrease", margin=margin) for each, margin in margins.items()),
    ]
    of_guardrails = dict.fromkeys(margins, counts)

    verdict = verdict_on(goals, {"orders": LIFT, **of_guardrails}, windows=dict.fromkeys(margins, window))

    assert says in verdict.reason


def test_harm_to_a_sum_without_a_window_is_of_the_live_reading(run_of, aggregate_of, conversions, primary):
    goals = [primary, Goal(metric="cost", role="guardrail", direction="decrease")]
    sums = conversions(*LIFT) | {
        ("cost", "live", variant): (4000, 4000, 4000 * mean, 4000 * (mean**2 + 900))
        for variant, mean in (("control", 1000), ("treatment", 1100))
    }

    reason = look(
        run_of(goals, types={"cost": "sum"}, windows={"cost": "none"}), [aggregate_of(sums)], None
    ).verdict.reason

    assert reason.startswith("treatment harms cost (live reading): +10.0% [")
    assert "its metric has no window, so the guarantee of always-valid results is not claimed" in reason


def test_what_was_lost_is_counted_as_far_as_anybody_can(run_of, aggregate_of, conversions, primary):
    def gap(topic, begin, end, **how):
        return Gap(stage="assignment", topic=topic, partition=0, begin=begin, end=end, reason="a flood", **how)

    def said(*gaps):
        """Of two partitions, the first of which had read a little further."""
        sums = conversions(*LIFT)
        further = [msgspec.structs.replace(gap, begin=gap.begin + 1) for gap in gaps]
        aggregates = [aggregate_of(sums, number, gaps=each) for number, each in enumerate((further, [*gaps]))]
        return look(run_of([primary]), aggregates, None).verdict.reason

    assert "; 1,010 records of events and exposures were lost and are in no number (a flood)." in said(
        gap("events", 0, 1_000), gap("exposures", 5, 15)
    )
    assert "; at least 1,000 records of events and exposures were lost" in said(
        gap("events", 0, 1_000), gap("exposures", 5, 6, unknown=True)
    )
    assert "; an unknown number of records of exposures were lost" in said(gap("exposures", 5, 6, unknown=True))


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


# Several treatments.

THREE = {"control": 1, "a": 1, "b": 1}


@pytest.fixture
def verdict_of_arms(run_of, aggregate_of):
    """Of conversions (n, x) by metric and arm."""

    def verdict_of_arms(goals, counts, **run):
        sums = {
            (metric, reading, variant): (n, x, x, x)
            for metric, arms in counts.items()
            for variant, (n, x) in arms.items()
            for reading in ("settled", "live")
        }
        units = {(0, variant): 4000 for variant in next(iter(counts.values()))}
        weights = dict.fromkeys(next(iter(counts.values())), 1)
        return look(run_of(goals, weights=(weights,), **run), [aggregate_of(sums, units=units)], None).verdict

    return verdict_of_arms


def decisions(verdict):
    return verdict.decision, {arm.variant: arm.decision for arm in verdict.arms}


GUARDED = [
    Goal(metric="orders", role="primary"),
    Goal(metric="fails", role="guardrail", direction="decrease", margin=0.3),
]


def test_n10_a_winner_ships_whatever_another_arm_harms_and_both_are_named(verdict_of_arms):
    verdict = verdict_of_arms(
        GUARDED,
        {
            "orders": {"control": (4000, 400), "a": (4000, 600), "b": (4000, 410)},
            "fails": {"control": (4000, 800), "a": (4000, 790), "b": (4000, 1200)},
        },
    )

    assert decisions(verdict) == ("ship", {"a": "ship", "b": "drop"})
    assert verdict.reason.startswith("a improves orders: +50.0% [")
    assert verdict.reason.endswith("a guardrail is harmed: drop b.")
    assert "b harms fails" in verdict.reason
    assert verdict.arms[1].reason.endswith(": a guardrail is harmed.")


@pytest.mark.parametrize(
    ("fails", "orders", "expected"),
    [
        # The winner is not proved safe yet, and the other is harmful.
        ((800, 790, 1200), (400, 600, 410), ("keep running", {"a": "keep running", "b": "drop"})),
        ((80, 80, 160), (400, 400, 600), ("keep running", {"a": "keep running", "b": "drop"})),
        ((80, 160, 170), (400, 600, 600), ("roll back", {"a": "drop", "b": "drop"})),
        ((8, 8, 8), (400, 400, 402), ("keep running", {"a": "keep running", "b": "keep running"})),
    ],
)
def test_n10_each_arm_has_a_verdict(verdict_of_arms, fails, orders, expected):
    goals = [GUARDED[0], msgspec.structs.replace(GUARDED[1], margin=0.1)]
    arms = ("control", "a", "b")

    verdict = verdict_of_arms(
        goals,
        {
            "orders": {arm: (4000, x) for arm, x in zip(arms, orders, strict=True)},
            "fails": {arm: (4000, x) for arm, x in zip(arms, fails, strict=True)},
        },
    )

    assert decisions(verdict) == expected
    for arm in verdict.arms:
        assert (f"drop {arm.variant}" in verdict.reason) == (arm.decision == "drop")


def test_n10_the_worst_harm_is_named(verdict_of_arms):
    goals = [GUARDED[0], *(Goal(metric=m, role="guardrail", direction="decrease") for m in ("returns", "fails"))]
    arms = ("control", "a", "b")

    several = verdict_of_arms(
        goals,
        {
            "orders": dict.fromkeys(arms, (4000, 400)),
            "returns": {"control": (4000, 400), "a": (4000, 560), "b": (4000, 600)},
            "fails": {"control": (4000, 100), "a": (4000, 300), "b": (4000, 400)},
        },
    )
    single = verdict_of_arms(
        goals,
        {
            "orders": dict.fromkeys(arms[:2], (4000, 400)),
            "returns": {"control": (4000, 400), "a": (4000, 560)},
            "fails": {"control": (4000, 100), "a": (4000, 300)},
        },
    )

    assert several.reason.startswith("b harms fails")
    assert single.reason.startswith("a harms fails")
    assert isinstance(single.arms, msgspec.UnsetType)


def test_n10_all_arms_that_miss_the_prediction_go_back(verdict_of_arms):
    goal = Goal(metric="orders", role="primary", minimum_effect=0.5)

    verdict = verdict_of_arms([goal], {"orders": {"control": (4000, 400), "a": (4000, 402), "b": (4000, 404)}})

    assert decisions(verdict) == ("roll back", {"a": "drop", "b": "drop"})
    assert verdict.reason.count("the prediction of +50% or more is missed: drop ") == 2


# A test that has been read.


@pytest.mark.parametrize(
    ("sided", "says"),
    [
        ("two", "no difference found between treatment and control, +2.0% ["),
        ("one", "no gain of treatment over control found (one-sided: no harm is looked for), +2.0% ["),
    ],
)
def test_n09_a_t_test_that_was_read_and_found_nothing_ends(verdict_on, primary, sided, says):
    run = {"analysis": {"method": "t-test", "planned_units": 8000, "sided": sided}, "started": 0}

    verdict = verdict_on([primary], {"orders": ((4000, 400), (4000, 408))}, run=run, watermark=10_000_000)

    assert (verdict.decision, verdict.days_left) == ("none", None)
    assert verdict.reason.startswith(f"orders was read at its 8,000 planned units: {says}")
    assert "lifts below -" in verdict.reason
    assert (" and above +" in verdict.reason) == (sided == "two")
    assert verdict.reason.endswith("excluded.")
    assert "not decided yet" not in verdict.reason


@pytest.mark.parametrize(
    ("direction", "counts"), [("increase", ((1000, 120), (1000, 80))), ("decrease", ((1000, 80), (1000, 120)))]
)
def test_a_one_sided_test_that_found_no_gain_says_nothing_of_harm(verdict_on, direction, counts):
    goal = Goal(metric="orders", role="primary", direction=direction)
    run = {"analysis": {"method": "t-test", "planned_units": 2000, "sided": "one"}}

    verdict = verdict_on([goal], {"orders": counts}, run=run)

    assert verdict.decision == "none"
    assert verdict.reason.startswith(
        "orders was read at its 2,000 planned units: no gain of treatment over control found (one-sided: no harm is "
        "looked for), "
    )
    assert "difference found" not in verdict.reason


def test_no_rate_is_said_to_lose_more_than_all_of_itself(verdict_on, primary):
    run = {"analysis": {"method": "t-test", "planned_units": 100}}
    none = verdict_on([primary], {"orders": ((50, 2), (50, 0))}, run=run).reason
    exact = Goal(metric="orders", role="primary", exact=True)

    assert none.startswith("orders was read at its 100 planned units: no difference found between treatment and ")
    assert "-100.0% [at most +" in none
    assert "; lifts above +" in none
    assert "-100.0% [at most +" in verdict_on([exact], {"orders": ((50, 3), (50, 0))}).reason
    one_sided = {"analysis": {"method": "t-test", "planned_units": 100, "sided": "one"}}
    none = verdict_on([primary], {"orders": ((50, 2), (50, 0))}, run=one_sided).reason
    assert none.endswith("-100.0%, Boschloo p = 1.")


@pytest.mark.parametrize(
    ("n", "decision"), [(3990, "keep running"), (4000, "ship"), (4040, "ship"), (4060, "none"), (16_000, "none")]
)
def test_files_are_read_by_a_fixed_test_at_its_plan_alone(run_of, aggregate_of, n, decision):
    run = run_of([Goal(metric="orders", role="primary")], analysis={"method": "t-test", "planned_units": 8000})
    aggregates = [aggregate_of(make_conversions((n, n // 10), (n, n * 15 // 100)))]

    of_files = look(run, aggregates, None, of_files=True).verdict
    of_stream = look(run, aggregates, None).verdict

    assert of_files.decision == decision
    assert of_stream.decision == ("keep running" if n < 4000 else "ship")
    if decision == "none":
        assert of_files.reason.startswith(
            f"orders was read at {2 * n:,} units, where 8,000 were planned: a fixed-horizon test is valid once, at its "
            "plan, so this decides nothing; treatment against control: +50.0% ["
        )


def test_a_run_that_has_ended_speaks_of_nothing_to_come(verdict_on, primary):
    run = {"analysis": {"method": "t-test", "planned_units": 9000}}

    def said(*counts, **fields):
        return verdict_on([primary], {"orders": counts}, final=True, **fields).reason

    assert said((4000, 400), (4000, 402), run=run).endswith(
        "of the 9,000 planned: the t-test was to be read when they are in; it has ended without a decision."
    )
    assert said((40, 4), (40, 4)) == (
        "orders has 40 units of treatment and 40 of control: too few for a test; it has ended without a decision."
    )
    assert said((4000, 400), (4000, 402)).endswith(
        "effects of 23.4% or more, up or down, are excluded already; it has ended without a decision."
    )


def test_one_comparison_alone_is_not_adjusted(run_of, aggregate_of, conversions, primary):
    for treated in range(400, 460):
        sums = conversions((4000, 400), (4000, treated))
        cell = look(run_of([primary]), [aggregate_of(sums)], None).cells[0]

        assert cell.adjusted_p_value == cell.running_p_value


def test_a_planned_sample_without_anything_to_compare_waits_for_nothing(verdict_on, primary):
    run = {"analysis": {"method": "t-test", "planned_units": 8000}, "started": 0}

    verdict = verdict_on([primary], {"orders": ((4000, 0), (4000, 0))}, run=run, watermark=10_000_000)

    assert (verdict.decision, verdict.days_left) == ("none", None)
    assert verdict.reason == (
        "orders has 4,000 units of treatment and 4,000 of control so far: zero variance; all 8,000 planned units are "
        "in, and there is nothing to compare."
    )


def test_n09_a_winner_whose_guardrail_was_read_and_is_not_proved_safe_ends_too(verdict_on, primary):
    goals = [primary, Goal(metric="fails", role="guardrail", direction="decrease", margin=0.05)]
    run = {"analysis": {"method": "t-test", "planned_units": 8000}}

    verdict = verdict_on(goals, {"orders": LIFT, "fails": FLAT}, run=run)

    assert verdict.decision == "none"
    assert verdict.reason.endswith(", not sure to lose less than its margin of 5%.")


# The prediction.


@pytest.mark.parametrize(
    ("direction", "counts", "minimum_effect", "expected"),
    [
        ("increase", LIFT, 0.2, ("ship", "hit")),
        ("increase", LIFT, 0.4, ("ship", "open")),
        ("increase", LIFT, 0.9, ("ship", "missed")),
        ("increase", FLAT, 0.1, ("keep running", "open")),
        ("increase", FLAT, 0.5, ("roll back", "missed")),
        ("increase", HARM, 0.1, ("roll back", "missed")),
        ("decrease", HARM, 0.15, ("ship", "hit")),
        ("decrease", FLAT, 0.4, ("roll back", "missed")),
        ("increase", ((50, 5), (50, 8)), 0.1, ("keep running", "open")),
    ],
)
def test_the_lift_is_compared_with_the_prediction(verdict_on, direction, counts, minimum_effect, expected):
    goal = Goal(metric="orders", role="primary", direction=direction, minimum_effect=minimum_effect)

    verdict = verdict_on([goal], {"orders": counts})

    assert (verdict.decision, verdict.prediction) == expected


def test_the_sentence_says_what_became_of_the_prediction(verdict_on):
    def reason(minimum_effect, counts=LIFT):
        goal = Goal(metric="orders", role="primary", minimum_effect=minimum_effect)
        return verdict_on([goal], {"orders": counts}).reason

    assert reason(0.2).endswith("p < 0.0001; the prediction of +20% or more is hit.")
    assert reason(0.4).endswith("the prediction of +40% or more is still open.")
    assert reason(0.9).endswith("the prediction of +90% or more is missed.")
    assert reason(0.5, FLAT).startswith("the effect of treatment on orders is open: +0.5% [")
    assert reason(0.5, FLAT).endswith("the prediction of +50% or more is missed.")


# Margins.


@pytest.mark.parametrize(
    ("returns", "decision", "says"),
    [
        (((90_000, 9000), (90_000, 9000)), "ship", "; returns is proved safe within its margin of 10%."),
        (((1000, 100), (1000, 100)), "keep running", "not yet sure to lose less than its margin of 10%."),
        (((8000, 800), (8000, 1000)), "roll back", ": a guardrail is harmed."),
    ],
)
def test_a_margin_asks_for_proof_before_a_winner_ships(verdict_on, primary, returns, decision, says):
    goals = [primary, Goal(metric="returns", role="guardrail", direction="decrease", margin=0.1, exact=False)]
    units = {(0, "control"): 90_000, (0, "treatment"): 90_000}

    verdict = verdict_on(goals, {"orders": LIFT, "returns": returns}, units=units)

    assert verdict.decision == decision
    assert verdict.reason.endswith(says)


# How long it may take.

HOUR = 3_600_000


def test_a_slight_lift_says_how_long_it_may_take_at_the_present_pace(verdict_on, primary):
    slight = {"orders": ((2000, 200), (2000, 230))}

    verdict = verdict_on([primary], slight, run={"started": HOUR}, watermark=25 * HOUR)

    # 4,000 units a day; a difference of 1.5 points needs about 15,000 units in all by a fixed test.
    assert 2 < verdict.days_left < 6
    assert verdict.reason.endswith("days more.")
    twice_as_fast = verdict_on([primary], slight, run={"started": HOUR}, watermark=13 * HOUR)
    assert twice_as_fast.days_left == pytest.approx(verdict.days_left / 2)


@pytest.mark.parametrize(
    ("counts", "run"),
    [
        (((50, 5), (50, 8)), {}),  # too few for a test
        (FLAT, {"completed": 20 * HOUR}),  # nobody enters any more
        (FLAT, {"started": 30 * HOUR}),  # the look's clock is not there yet
        (LIFT, {}),  # decided
        (FLAT, {"analysis": {"method": "bayesian"}}),
    ],
)
def test_nobody_says_how_long_it_takes_where_nobody_can_know(verdict_on, primary, counts, run):
    verdict = verdict_on([primary], {"orders": counts}, run={"started": HOUR, **run}, watermark=25 * HOUR)

    assert verdict.days_left is None
    assert "at this pace" not in verdict.reason


def test_a_metric_of_which_fewer_units_have_a_value_again_says_why_no_time_is_told(
    run_of, aggregate_of, conversions, primary
):
    run, last, said = run_of([primary]), None, []
    for hour, counts in enumerate((((300, 30), (300, 36)), ((300, 20), (300, 24)))):  # a return takes orders back
        last = look(run, [aggregate_of(conversions(*counts), watermark=HOUR * (hour + 1))], last)
        said.append(last.verdict)

    assert said[0].days_left is not None
    assert said[1].days_left is None
    assert "not decided yet; at this look too few for a test, so nobody can say how long it takes; " in said[1].reason


def test_an_estimate_ends_at_forty_days(verdict_on, primary):
    verdict = verdict_on([primary], {"orders": FLAT}, run={"started": HOUR}, watermark=25 * HOUR)

    assert verdict.days_left == 40
    assert "; at this pace it takes more than 40 days more; effects of " in verdict.reason
    assert verdict.reason.endswith(" or more, up or down, are excluded already.")


def test_an_estimate_says_how_long_it_takes_if_the_prediction_is_true(verdict_on):
    goal = Goal(metric="orders", role="primary", minimum_effect=0.05)
    run = {"started": HOUR}
    verdict = verdict_on([goal], {"orders": ((4000, 400), (4000, 412))}, run=run, watermark=25 * HOUR)

    # 10 % and 10.5 % take about 116,000 units by a fixed test, and nearly twice as many when watched; 8,000 come a day.
    assert 20 < verdict.days_if_predicted < 30
    assert verdict.days_left == 40
    assert f"if the prediction of +5% is true, it takes about {verdict.days_if_predicted:.0f} days more at this" in (
        verdict.reason
    )
    assert "; as it looks now more than 40 days; effects of " in verdict.reason
    assert verdict.reason.endswith(f"effects of {verdict.excluded:.1%} or more, up or down, are excluded already.")


@pytest.mark.parametrize("lift", [0.0, 0.1])
def test_the_time_left_moves_by_a_third_at_most_from_look_to_look(run_of, aggregate_of, conversions, primary, lift):
    """As in a demo: a look whenever some more have come, while the units double and double."""
    pairs = []
    for seed in range(20):
        rng, n, x, last, said = np.random.default_rng(seed), np.zeros(2, int), np.zeros(2, int), None, []
        for hour in range(1, 60):
            come = rng.poisson(150, 2)
            n, x = n + come, x + rng.binomial(come, [0.1, 0.1 * (1 + lift)])
            aggregate = aggregate_of(conversions(*zip(n.tolist(), x.tolist(), strict=True)), watermark=HOUR * hour)
            last = look(run_of([primary]), [aggregate], last)
            said.append(last.verdict.days_left)
        pairs += [(was, now) for was, now in pairwise(said) if was is not None and now is not None]
    assert len(pairs) > 200
    assert all(2 / 3 - 1e-9 <= now / was <= 4 / 3 + 1e-9 for was, now in pairs)


def test_an_estimate_of_no_effect_at_all_goes_on_from_what_was_said(run_of, aggregate_of, conversions, primary):
    run, said, last = run_of([primary]), [], None
    for hour, counts in enumerate((((2000, 200), (2000, 230)), ((2100, 220), (2100, 220)), ((2200, 230), (2200, 240)))):
        last = look(run, [aggregate_of(conversions(*counts), watermark=HOUR * (hour + 1))], last)
        said.append(last.verdict.days_left)

    assert said[1] == pytest.approx(said[0] * 4 / 3)
    assert said[2] == pytest.approx(said[1] * 4 / 3)


def test_a_t_test_takes_until_its_planned_units_are_in(verdict_on, primary):
    run = {"started": HOUR, "analysis": {"method": "t-test", "planned_units": 16_000}}

    verdict = verdict_on([primary], {"orders": FLAT}, run=run, watermark=25 * HOUR)

    assert verdict.days_left == pytest.approx(1.0)  # half of them came in a day
    assert verdict.reason.endswith("at this pace it takes about 24 hours more.")
