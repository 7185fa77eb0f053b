"""Looks: what the sums of a run say, and how one look goes on from the last."""

import itertools
import json
import math
import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.catalog.in_force import MetricInForce
from evaluation.significance import mixture
from evaluation.significance.comparison import Pairs, Sample, differences
from evaluation.significance.gates import lose_unevenly
from evaluation.significance.look import decode_look, encode_look, has_news, look
from evaluation.significance.moments import ArmMoments
from schemas.aggregate import ArmPart, MetricHealth, Part
from schemas.catalog import Goal, Metric
from schemas.look import Loss


def only(value, reading="settled"):
    (cell,) = [cell for cell in value.cells if cell.reading == reading]
    return cell


def test_a_clear_lift_is_found(run_of, aggregate_of, conversions, primary):
    cell = only(look(run_of([primary]), [aggregate_of(conversions((4000, 400), (4000, 600)))], None))

    assert cell.status == "ok"
    assert (cell.n, cell.sum, cell.control_n, cell.control_sum) == (4000, 600, 4000, 400)
    assert (cell.mean, cell.control_mean, cell.estimate, cell.relative_estimate) == (0.15, 0.1, 0.05, 0.5)
    assert 0 < cell.lower < cell.estimate < cell.upper
    assert cell.p_value < 1e-6
    assert (cell.running_lower, cell.running_upper, cell.running_p_value) == (cell.lower, cell.upper, cell.p_value)


def test_a_metric_that_came_in_mid_run_says_since_when_it_counts(run_of, aggregate_of, conversions, primary):
    later = run_of([primary], started=100, since={primary.metric: 1_100})
    whole = run_of([primary], started=100, since={primary.metric: 100})

    told = [only(look(run, [aggregate_of(conversions((900, 90), (900, 90)))], None)).since for run in (later, whole)]

    assert told == [1_100, None]


def test_partitions_are_added_whatever_their_order(run_of, aggregate_of, conversions, primary):
    run = run_of([primary])
    parts = [
        aggregate_of(
            conversions((1000, 100 + i), (900, 90 + i)), partition=partition, offset=partition, watermark=50 + i
        )
        for i, partition in enumerate((10, 2, 0))
    ]

    looks = {encode_look(look(run, order, None)) for order in itertools.permutations(parts)}

    assert len(looks) == 1
    value = decode_look(looks.pop())
    assert list(value.offsets.items()) == [("0", 0), ("2", 2), ("10", 10)]
    assert value.time == 50
    assert only(value).control_sum == 303


def test_looks_are_numbered_and_the_running_values_only_narrow(run_of, aggregate_of, conversions, primary):
    run = run_of([primary])
    counts = [((1000, 100), (1000, 150)), ((2000, 200), (2000, 280)), ((4000, 400), (4000, 480))]

    last, looks = None, []
    for control, treatment in counts:
        last = look(run, [aggregate_of(conversions(control, treatment))], last)
        looks.append(last)

    cells = [only(each) for each in looks]
    assert [each.look for each in looks] == [1, 2, 3]
    for before, now in itertools.pairwise(cells):
        assert now.running_p_value == min(before.running_p_value, now.p_value)
        assert now.running_lower == max(before.running_lower, now.lower)
        assert now.running_upper == min(before.running_upper, now.upper)


def test_an_effect_that_moves_is_flagged(run_of, aggregate_of, conversions, primary):
    run = run_of([primary])

    first = look(run, [aggregate_of(conversions((2000, 200), (2000, 600)))], None)
    second = look(run, [aggregate_of(conversions((9000, 900), (9000, 900)))], first)

    assert only(second).running_empty
    assert second.verdict.decision == "needs attention"
    assert "has moved" in second.verdict.reason


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        (((0, 0), (500, 50)), "no data"),
        (((99, 50), (500, 250)), "gated"),
        (((500, 20), (500, 20)), "gated"),  # 20 conversions expected in each arm
        (((500, 50), (500, 0)), "ok"),  # a treatment that kills a conversion shows
        (((500, 500), (500, 500)), "zero variance"),
    ],
)
def test_a_cell_says_why_it_has_no_interval(run_of, aggregate_of, conversions, counts, status):
    run = run_of([Goal(metric="orders", role="primary")])
    cell = only(look(run, [aggregate_of(conversions(*counts))], None))

    assert cell.status == status
    assert (cell.p_value is None) == (cell.lower is None) == (cell.running_p_value is None) == (status != "ok")
    assert cell.mean == counts[1][1] / counts[1][0]


def test_other_metrics_need_a_hundred_units_with_a_value(run_of, aggregate_of):
    goal = Goal(metric="revenue", role="primary")
    run = run_of([goal], types={"revenue": "sum"})

    def status(paying):
        sums = {
            ("revenue", reading, variant): (1000, paying, paying * 500, paying * 300_000)
            for reading in ("settled", "live")
            for variant in ("control", "treatment")
        }
        return only(look(run, [aggregate_of(sums)], None)).status

    assert status(99) == "gated"
    assert status(100) == "ok"


def test_a_gate_that_closes_again_keeps_what_the_looks_before_said(run_of, aggregate_of, conversions, primary):
    run = run_of([primary])

    opened = look(run, [aggregate_of(conversions((500, 50), (500, 90)))], None)
    closed = look(run, [aggregate_of(conversions((500, 50), (99, 18)))], opened)

    assert only(closed).status == "gated"
    assert only(closed).p_value is None
    assert only(closed).running_p_value == only(opened).running_p_value


def test_a_metric_with_units_too_large_to_count_is_withheld(run_of, aggregate_of, conversions, primary):
    aggregate = aggregate_of(conversions((4000, 400), (4000, 600)), withheld={"orders": 1})

    value = look(run_of([primary]), [aggregate], None)

    assert only(value).status == "withheld"
    assert only(value).estimate == 0.05
    assert only(value).lower is None
    assert value.health.withheld_units == 1


def test_n04_a_metric_that_loses_more_than_one_per_cent_of_its_events_says_so_and_gives_no_verdict(
    run_of, aggregate_of, conversions, primary
):
    def at(unusable, before=None):
        metrics = [
            MetricHealth("orders", 990, 0, 0, unusable, 0, 0, '"$7.25"'),
            MetricHealth("visits", 5, 0, 0, 0, 0),
        ]
        sums = conversions((4000, 400), (4000, 600)) | conversions((4000, 400), (4000, 600), metric="visits")
        return look(run, [aggregate_of(sums, metrics=metrics)], before)

    run = run_of([primary, Goal(metric="visits")])
    few, many = at(10), at(11)
    later = at(11, few)

    assert few.cells[0].status == "ok"
    assert few.verdict.decision == "ship"
    assert few.health.losses == [Loss("orders", 1000, 10, 0, '"$7.25"')]
    for value in (many, later):
        (cell,) = (each for each in value.cells if (each.metric, each.reading) == ("orders", "settled"))
        assert (cell.status, cell.p_value, cell.lower, cell.judgement) == ("unusable", None, None, "open")
        assert (cell.unusable_share, cell.example, cell.estimate) == (11 / 1001, '"$7.25"', 0.05)
        assert value.verdict.decision == "needs attention"
        assert value.verdict.reason == (
            'orders says nothing: 1.1% of its events hold no number that can be used, such as "$7.25"; mend what sends '
            "them, or leave them out by the metric's `where`."
        )
        assert {each.status for each in value.cells if each.metric == "visits"} == {"ok"}
    assert b"unusable_share" not in encode_look(few)
    assert decode_look(encode_look(later)) == later


LOSSES = {  # of control and treatment: events that count, and those that are unusable
    "one arm loses more than a hundredth": ((99_000, 0), (980, 20), "unusable"),
    "both lose little": ((9_990, 10), (9_930, 70), "ok"),  # one unit may have lost them all
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_metric_of_which_one_arm_loses_too_many_events_says_nothing(run_of, aggregate_of, conversions, primary, case):
    control, treatment, status = LOSSES[case]
    run = run_of([primary], types={"orders": "sum"})
    part = Part([ArmPart(0, "control", *control), ArmPart(0, "treatment", *treatment)])
    metrics = [MetricHealth("orders", 0, 0, 0, 0, 0, parts=[part])]

    value = look(run, [aggregate_of(conversions((4000, 400), (4000, 600)), metrics=metrics)], None)

    assert only(value).status == status
    assert value.verdict.decision == ("ship" if status == "ok" else "needs attention")
    if status == "unusable":
        share = treatment[1] / sum(treatment)
        assert only(value).unusable_share == share
        assert f"{share:.1%} of treatment's events" in value.verdict.reason
        assert f"of control's {control[1] / sum(control):.1%}" in value.verdict.reason


@pytest.mark.parametrize(
    ("counts", "lost", "is_uneven"),
    [
        ([9_950, 9_945], [50, 55], False),
        ([9_990, 9_930], [10, 70], True),
        ([99_900, 4_970], [100, 30], True),
        ([999, 992], [1, 8], False),
        ([999_000, 998_100], [1_000, 1_900], False),  # it does not matter
        ([999_000, 998_100, 60], [1_000, 1_900, 0], False),  # nor beside an arm that says nothing
        ([2_000, 1_498], [0, 502], True),
        ([5, 5], [0, 0], False),
    ],
)
def test_units_that_arms_lack_by_more_than_chance_has_it(counts, lost, is_uneven):
    assert lose_unevenly(counts, lost) == is_uneven


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("role", ["primary", "guardrail", "secondary"])
def test_what_was_read_survives_a_look_at_which_the_metric_was_unusable(run_of, aggregate_of, conversions, role):
    goals = [Goal(metric="orders", role=role), *([Goal(metric="visits", role="primary")] if role != "primary" else [])]
    types = {"orders": "sum"}
    run = run_of(goals, types=types, analysis={"method": "t-test", "planned_units": 2_000})

    def looked(n, lost, before):
        metrics = [MetricHealth("orders", 2 * n - lost, 0, 0, lost, 0)]
        sums = {}
        for goal in goals:
            sums |= conversions((n, n // 5), (n, n // 3), metric=goal.metric)
        return look(run, [aggregate_of(sums, metrics=metrics)], before)

    def orders(value):
        return next(cell for cell in value.cells if (cell.metric, cell.reading) == ("orders", "settled"))

    read = looked(1_000, 0, None)
    lost = looked(2_000, 100, read)
    again = looked(3_000, 10, lost)

    assert (orders(lost).status, orders(lost).p_value, orders(lost).judgement) != ("ok", None, "better")
    assert (orders(lost).status, orders(lost).p_value) == ("unusable", None)
    assert orders(again) == orders(read)
    assert again.verdict == read.verdict


def test_n04_a_guardrail_that_loses_too_many_events_is_named_beside_the_verdict(
    run_of, aggregate_of, conversions, primary
):
    run = run_of([primary, Goal(metric="visits", role="guardrail")])
    sums = conversions((4000, 400), (4000, 600)) | conversions((4000, 400), (4000, 600), metric="visits")
    metrics = [MetricHealth("visits", 50, 0, 0, 50, 0, 0, "")]

    verdict = look(run, [aggregate_of(sums, metrics=metrics)], None).verdict

    assert verdict.decision == "ship"
    assert (
        "visits says nothing: 50.0% of its events hold no number that can be used, such as one without"
        in verdict.reason
    )


def test_health_tells_the_share_of_units_with_a_full_lookback(run_of, aggregate_of, conversions, primary):
    run = run_of([primary, Goal(metric="visits")], definitions={"orders": {"cuped": {"lookback": "14d"}}})
    sums = {("orders", "live", variant): (200, 20, (20, 10), (20, 5, 10)) for variant in ("control", "treatment")}
    sums |= conversions((300, 30), (300, 30), metric="visits")
    parts = [
        aggregate_of(sums, partition=number, metrics=[MetricHealth("orders", 0, 0, 0, 0, 0, whole)])
        for number, whole in enumerate((120, 80))
    ]

    told = look(run, parts, None)
    untold = look(run_of([primary]), [aggregate_of(conversions((300, 30), (300, 30)))], None)

    assert decode_look(encode_look(told)).health.full_lookback == 0.25
    assert b"full_lookback" not in encode_look(untold)  # as it was before there was such a share


def test_errors_are_divided_as_amplitude_divides_them(run_of, aggregate_of):
    goals = [
        Goal(metric="a", role="primary"),
        Goal(metric="b"),
        Goal(metric="c"),
        Goal(metric="d", role="guardrail"),
    ]
    run = run_of(goals, weights=({"control": 1, "one": 1, "two": 1},))

    alphas = {cell.metric: cell.alpha for cell in look(run, [aggregate_of({})], None).cells}

    assert alphas == {"a": 0.05 / 2, "b": 0.05 / 4, "c": 0.05 / 4, "d": 0.05}


def test_a_metric_added_later_leaves_the_levels_of_the_others(run_of, aggregate_of):
    one, two = Goal(metric="a"), Goal(metric="b")

    first = look(run_of([one]), [aggregate_of({})], None)
    second = look(run_of([one, two]), [aggregate_of({})], first)

    assert {cell.metric: cell.alpha for cell in second.cells} == {"a": 0.05, "b": 0.025}


def test_a_metric_waits_until_every_partition_has_its_new_version(run_of, aggregate_of, conversions, primary):
    sums = conversions((2000, 200), (2000, 280))
    first = look(run_of([primary]), [aggregate_of(sums), aggregate_of(sums, partition=1)], None)

    redefined = run_of([primary], versions={"orders": 2})
    ahead = aggregate_of(sums, versions={"orders": 2})
    waiting = look(redefined, [ahead, aggregate_of(sums, partition=1)], first)
    arrived = look(redefined, [ahead, aggregate_of(sums, partition=1, versions={"orders": 2})], waiting)

    assert (first.revision, waiting.revision, arrived.revision) == (0, 1, 1)
    assert waiting.cells == []
    assert only(arrived).metric_version == 2
    assert only(arrived).running_p_value == only(arrived).p_value


def test_the_planned_sample_stands_while_the_primary_metric_is_redefined(run_of, aggregate_of, conversions):
    goals = [Goal(metric="orders", role="primary", minimum_effect=0.2), Goal(metric="visits")]
    analysis = {"baseline": {"mean": 0.1}}
    sums = conversions((2000, 200), (2000, 210)) | conversions((2000, 200), (2000, 210), metric="visits")
    new = run_of(goals, versions={"orders": 2}, analysis=analysis)
    counted = run_of(goals, versions={"orders": 3}, types={"orders": "count"}, analysis=analysis)

    last, planned = None, []
    for run, version in ((run_of(goals, analysis=analysis), 1), (new, 1), (new, 2), (counted, 3)):
        last = look(run, [aggregate_of(sums, versions={"orders": version})], last)
        planned += [cell.planned_units for cell in last.cells if (cell.metric, cell.reading) == ("visits", "settled")]

    assert planned == [planned[0]] * 4
    assert planned[0] != mixture.PLANNED_UNITS


def test_a_ratio_that_nothing_is_compared_with_is_its_own_mean_or_none(run_of, aggregate_of):
    goal = Goal(metric="price", role="primary")
    spent, orders = (
        msgspec.convert({"key": key, "owner": "x", "event": "order", "window": "10s", "scale": 2, **kind}, Metric)
        for key, kind in (("spent", {"type": "sum", "property": "price"}), ("orders", {"type": "count"}))
    )
    definition = Metric(key="price", owner="x", type="ratio", numerator="spent", denominator="orders", window="10s")
    metric = MetricInForce(definition, 1, 0, (spent, orders))
    run = replace(run_of([goal]), metrics={"price": metric})
    nobody = (10, 0, (0, 0), (0, 0, 0))
    bought = (10, 2, (6000, 2), (18_000_000, 6000, 2))  # in cents

    cell = only(
        look(
            run,
            [aggregate_of({("price", "settled", "control"): nobody, ("price", "settled", "treatment"): bought})],
            None,
        )
    )

    assert (cell.estimate, cell.mean, cell.control_mean) == (None, 30.0, None)


def test_a_new_version_starts_the_running_values_again(run_of, aggregate_of, conversions, primary):
    strong, weak = conversions((2000, 200), (2000, 400)), conversions((2000, 200), (2000, 201))

    first = look(run_of([primary]), [aggregate_of(strong)], None)
    second = look(run_of([primary], versions={"orders": 2}), [aggregate_of(weak, versions={"orders": 2})], first)

    assert second.revision == 1
    assert only(second).running_p_value == only(second).p_value == 1.0


def test_a_change_of_weights_makes_no_difference_of_its_own(run_of, aggregate_of, primary):
    # Conversion doubles when the weights go from 50/50 to 90/10: pooled, control wins by five points.
    run = run_of([primary], weights=({"control": 1, "treatment": 1}, {"control": 1, "treatment": 9}))
    sums = {
        ("orders", "settled", "control", 0): (5000, 500, 500, 500),
        ("orders", "settled", "treatment", 0): (5000, 500, 500, 500),
        ("orders", "settled", "control", 1): (1000, 200, 200, 200),
        ("orders", "settled", "treatment", 1): (9000, 1800, 1800, 1800),
    }

    cell = only(look(run, [aggregate_of(sums)], None))

    assert cell.estimate == 0.0
    assert cell.p_value == 1.0
    assert (cell.n, cell.sum, cell.control_n, cell.control_sum) == (14_000, 2300, 6000, 700)


def test_an_allocation_without_both_arms_adds_nothing(run_of, aggregate_of, conversions, primary):
    both = {"control": 1, "treatment": 1}
    sums = conversions((2000, 200), (2000, 280))
    alone = look(run_of([primary], weights=(both,)), [aggregate_of(sums)], None)

    # After the treatment's weight went to 0 some clients still show it: these units are not randomised.
    more = {
        ("orders", reading, variant, 1): (1000, 900, 900, 900)
        for reading in ("settled", "live")
        for variant in ("control", "treatment")
    }
    run = run_of([primary], weights=(both, {"control": 1, "treatment": 0}))
    after = look(run, [aggregate_of({**sums, **more})], None)

    for name in ("estimate", "standard_error", "lower", "p_value", "relative_upper"):
        assert getattr(only(after), name) == getattr(only(alone), name)
    assert only(after).n == 3000


@given(st.integers(-5, 9), st.data())
def test_results_do_not_depend_on_the_unit_of_the_values(shift, data):
    numerator = data.draw(st.integers(0, 10**6))

    def found(factor, scale):
        arms = [
            ArmMoments(n, n // 2, (numerator * factor,), ((numerator**2 // n + 7 * k) * factor**2,))
            for n, k in ((120, 5), (130, 9))
        ]
        value = differences([Sample(arms, (scale,))], Pairs([[(0, 1)]]))
        return value.difference[0], value.variance[0], value.mean[0]

    exponent = shift + 5
    assert found(1, 2) == found(10**exponent, 2 + exponent)


def test_means_that_agree_in_fifteen_digits_keep_their_difference(run_of, aggregate_of):
    goal = Goal(metric="moment", role="primary")
    run = run_of([goal], types={"moment": "sum"}, windows={"moment": "none"})
    base, n = 170_000_000_000_000, 1000

    def arm(offset):
        values = [base + offset + i % 2 for i in range(n)]
        return n, n, sum(values), sum(value * value for value in values)

    sums = {("moment", "live", "control"): arm(0), ("moment", "live", "treatment"): arm(1)}
    cell = only(look(run, [aggregate_of(sums)], None), "live")

    assert cell.estimate == 0.01
    assert cell.standard_error == pytest.approx(math.sqrt(2 * 0.25 / (n - 1)) / 100, rel=1e-15)
    assert isinstance(cell.sum_squares, str)


def test_a_negative_baseline_keeps_the_direction(run_of, aggregate_of):
    goal = Goal(metric="refunds", role="primary")
    run = run_of([goal], types={"refunds": "sum"})
    sums = {
        ("refunds", "settled", "control"): (1000, 1000, -200_000, 41_000_000),
        ("refunds", "settled", "treatment"): (1000, 1000, -100_000, 11_000_000),
    }

    cell = only(look(run, [aggregate_of(sums)], None))

    assert cell.estimate == 1.0
    assert cell.relative_estimate == 0.5
    assert 0 < cell.relative_lower < 0.5 < cell.relative_upper


def test_renaming_the_variants_changes_names_only(run_of, aggregate_of, conversions, primary):
    sums = conversions((2000, 200), (2000, 280))
    renamed = {(metric, reading, {"treatment": "b"}.get(v, v)): value for (metric, reading, v), value in sums.items()}

    one = only(look(run_of([primary]), [aggregate_of(sums)], None))
    other = only(look(run_of([primary], weights=({"control": 1, "b": 1},)), [aggregate_of(renamed)], None))

    assert msgspec.structs.replace(other, variant="treatment") == one


METHODS = {
    "sequential": {},
    "one-sided": {"sided": "one", "correction": "holm", "planned_units": 500},
    "CUPED": {"cuped": True},
    "t-test": {"method": "t-test", "correction": "benjamini-hochberg", "planned_units": 500, "cuped": True},
    "bayesian": {"method": "bayesian"},
}


def everything(run_of, analysis):
    """A run with each kind of metric, role and test, whose weights changed; and the values of a unit by metric."""
    goals = [
        Goal(metric="buys", role="primary", minimum_effect=0.1),
        Goal(metric="spends", direction="decrease"),
        Goal(metric="rare", exact=True),
        Goal(metric="per_page"),
        Goal(metric="pages", role="guardrail"),
        Goal(metric="fails", role="guardrail", direction="decrease", margin=0.1),  # its live reading is exact
    ]
    cuped = {"cuped": {"lookback": "7d"}}
    run = run_of(
        goals,
        types={"spends": "sum", "pages": "count"},
        windows={"pages": "none"},
        definitions={"spends": cuped},
        analysis=analysis,
        weights=({"control": 3, "treatment": 1, "other": 2}, {"control": 1, "treatment": 1, "other": 0}),
    )
    ratio = {"key": "per_page", "owner": "x", "type": "ratio", "numerator": "spends", "denominator": "pages"}
    parts = tuple(run.metrics[key].definition for key in ("spends", "pages"))
    definition = msgspec.convert({**ratio, "window": "10s", **cuped}, Metric)
    run.metrics["per_page"] = MetricInForce(definition, 1, 0, parts)
    return run, {"buys": 1, "spends": 2, "rare": 1, "per_page": 4, "pages": 1, "fails": 1}


def any_sums(rng, values, is_conversion):
    """Of an arm whose units have so many values: sums that units may have, and sums that none could."""
    n = rng.choice([0, 1, 2, 99, 100, 5000, 10**9])
    nonzero = rng.choice([0, n, rng.randint(0, n)])
    if is_conversion:
        return n, nonzero, nonzero, nonzero
    largest = 2**47 - 1
    first = [rng.choice([0, nonzero, -nonzero, largest * n, rng.randint(-largest, largest) * n]) for _ in range(values)]
    second = [
        rng.choice([0, first[i] * first[j] // max(1, n) + (i == j) * rng.choice([0, 1, n, largest**2])])
        for i, j in itertools.combinations_with_replacement(range(values), 2)
    ]
    return n, nonzero, first, second


def is_plain(value):
    """Whether no number in it is NaN or infinite."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list):
        return all(map(is_plain, value))
    return not isinstance(value, float) or math.isfinite(value)


def excludes_no_effect(cell):
    """Whether the end that the test's alternative looks at does."""
    lower, upper = (cell.relative_lower, cell.relative_upper) if cell.method == "exact" else (cell.lower, cell.upper)
    is_above, is_below = lower is not None and lower > 0, upper is not None and upper < 0
    if cell.method == "exact":
        return is_above or is_below
    return {"two-sided": is_above or is_below, "greater": is_above, "less": is_below}[cell.alternative]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_non_finite_leaves_and_p_agrees_with_the_interval(method, run_of, aggregate_of, seed):
    run, values = everything(run_of, METHODS[method])
    rng, last, methods = random.Random(seed), None, set()

    for _ in range(4):
        drawn = {
            (metric, reading, variant, allocation): any_sums(rng, values[metric], metric in ("buys", "rare", "fails"))
            for metric in values
            for reading in ("settled", "live")
            for variant in ("control", "treatment", "other")
            for allocation in (0, 1)
            if rng.random() < 0.9
        }
        last = look(run, [aggregate_of(drawn)], last)

        made = msgspec.to_builtins(last)
        assert is_plain(made)
        assert json.loads(encode_look(last)) == made
        methods |= {cell.method for cell in last.cells}
        for cell in last.cells:
            assert (cell.status == "ok") == ((cell.p_value if cell.chance is None else cell.chance) is not None)
            if cell.chance is not None:
                assert 0 <= cell.chance <= 1
            elif cell.status == "ok":
                assert (cell.p_value < cell.alpha) == excludes_no_effect(cell)
    assert "exact" in methods


def test_a_run_with_one_variant_compares_nothing(run_of, aggregate_of, primary):
    value = look(run_of([primary], weights=({"control": 1},)), [aggregate_of({}, units={(0, "control"): 5})], None)

    assert value.cells == []
    assert value.verdict.decision == "keep running"


def test_a_look_survives_its_bytes(run_of, aggregate_of, conversions, primary):
    value = look(run_of([primary]), [aggregate_of(conversions((4000, 400), (4000, 600)))], None)

    assert decode_look(encode_look(value)) == value
    assert encode_look(decode_look(encode_look(value))) == encode_look(value)


def test_a_look_refuses_what_is_not_its_own(run_of, aggregate_of, primary):
    run = run_of([primary])

    with pytest.raises(ValueError, match="exp-9"):
        look(run, [aggregate_of({}, run="exp-9")], None)
    with pytest.raises(ValueError, match="partition 0"):
        look(run, [aggregate_of({}), aggregate_of({})], None)
    with pytest.raises(ValueError, match="needs an aggregate"):
        look(run, [], None)


def test_a_run_is_final_when_every_partition_is(run_of, aggregate_of, conversions, primary):
    run, sums = run_of([primary], completed=5_000), conversions((2000, 200), (2000, 210))

    def made(*finals):
        return look(run, [aggregate_of(sums, partition=i, final=final) for i, final in enumerate(finals)], None)

    assert not made(True, False).final
    assert made(True, True).final
    assert made(True, True).verdict.decision == "none"
    assert "ended without a decision" in made(True, True).verdict.reason


def test_news_that_matters_does_not_wait(run_of, aggregate_of, conversions, primary):
    run = run_of([primary])

    def made(control, treatment, last=None, **fields):
        return look(run, [aggregate_of(conversions(control, treatment), **fields)], last)

    first = made((10_000, 1000), (10_000, 1000))
    same = made((10_000, 1000), (10_000, 1000), first, watermark=2_000, offset=20)
    little = made((10_005, 1000), (10_000, 1000), first)
    grown = made((10_011, 1000), (10_000, 1000), first)
    gated = made((10_000, 1000), (99, 10), first)

    assert has_news(first, None, silent=False)
    assert not has_news(same, first, silent=True)
    assert not has_news(little, first, silent=False)
    assert has_news(little, first, silent=True)
    assert has_news(grown, first, silent=False)
    assert has_news(gated, first, silent=False)
