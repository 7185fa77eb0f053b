"""Which of several arms can be the best."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from evaluation.significance.best import chance_of_highest_mean, chance_of_highest_rate
from evaluation.significance.look import look
from schemas.catalog import Goal

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "statistics.json").read_text())["cases"]
BANDITS = [case for case in VECTORS if "best_arm_probabilities_exact" in case["outputs"]]
ARMS = ("control", "blue", "green", "red")
EVEN = (dict.fromkeys(ARMS, 1),)


@pytest.mark.parametrize("case", BANDITS, ids=[case["id"] for case in BANDITS])
def test_chances_are_those_of_the_integrals(case):
    arms = case["inputs"]["arms"]
    mean, variance = (
        np.array(each) for each in zip(*((a["mean"], a["var_sample"] / a["n"]) for a in arms), strict=True)
    )

    assert chance_of_highest_mean(mean, variance) == pytest.approx(
        case["outputs"]["best_arm_probabilities_exact"], abs=1e-6
    )


@pytest.mark.parametrize(
    "counts", [[(5, 95), (9, 91), (7, 193)], [(0, 1000), (1, 10), (30_000, 10), (2, 2)], [(500, 500)] * 5]
)
def test_chances_of_rates_are_those_of_draws_and_add_up_to_one(counts):
    draws = np.random.default_rng(1).beta(*(np.array(counts).T[:, :, None] + 1.0), (len(counts), 400_000))

    chances = chance_of_highest_rate(counts)

    assert chances == pytest.approx(np.bincount(draws.argmax(0), minlength=len(counts)) / 400_000, abs=0.004)
    assert chances.sum() == pytest.approx(1.0, abs=1e-9)


def test_an_arm_far_less_sure_than_another_has_the_chance_of_its_own_tail():
    assert chance_of_highest_mean(np.array([0.0, 1.0]), np.array([1e-12, 1.0])) == pytest.approx(
        [0.158655, 0.841345], abs=1e-6
    )


def sums_of(counts, allocation=0):
    return {
        ("orders", reading, variant, allocation): (n, x, x, x)
        for variant, (n, x) in zip(ARMS, counts, strict=True)
        for reading in ("settled", "live")
    }


@pytest.fixture
def race(run_of):
    """A run of four arms with one primary metric."""
    return run_of([Goal(metric="orders", role="primary")], weights=EVEN)


def test_an_arm_that_is_beaten_stays_out_and_two_good_ones_stay(race, aggregate_of):
    first = look(race, [aggregate_of(sums_of([(4000, 400), (4000, 520), (4000, 530), (4000, 410)]))], None)
    second = look(race, [aggregate_of(sums_of([(4200, 600), (4200, 550), (4200, 560), (4200, 430)]))], first)

    beaten = {each.variant: each.beaten_by for each in first.best}
    assert beaten == {"control": "green", "blue": None, "green": None, "red": "green"}
    assert sum(each.chance for each in first.best) == pytest.approx(1.0, abs=1e-9)
    assert {each.variant: each.beaten_by for each in second.best} == beaten
    assert max(second.best, key=lambda each: each.chance).variant == "control"  # its chance is that of now


def test_fewer_is_better_where_the_goal_says_so(run_of, aggregate_of):
    run = run_of([Goal(metric="orders", role="primary", direction="decrease")], weights=EVEN)

    said = look(run, [aggregate_of(sums_of([(4000, 400), (4000, 520), (4000, 530), (4000, 410)]))], None).best

    assert [each.variant for each in said if each.beaten_by is None] == ["control", "red"]
    assert max(said, key=lambda each: each.chance).variant == "control"


def test_of_two_arms_nothing_is_said_and_of_few_units_no_chance(run_of, race, aggregate_of, conversions):
    two = run_of([Goal(metric="orders", role="primary")])
    few = look(race, [aggregate_of(sums_of([(50, 5)] * 4))], None)

    assert look(two, [aggregate_of(conversions((900, 90), (900, 90)))], None).best is UNSET
    assert [(each.chance, each.beaten_by) for each in few.best] == [(None, None)] * 4


def test_the_best_arm_is_seldom_called_beaten_however_often_one_looks(race, aggregate_of):
    rng, races, wrong, alike = np.random.default_rng(11), 60, 0, 0
    rates = np.array([0.1, 0.12, 0.12, 0.09])  # two are the best
    for _ in range(races):
        n, x, last = 0, np.zeros(4, np.int64), None
        for _ in range(12):
            n, x = n + 400, x + rng.binomial(400, rates)
            last = look(race, [aggregate_of(sums_of([(n, int(each)) for each in x]))], last)
        out = {each.variant for each in last.best if each.beaten_by}
        wrong += bool(out & {"blue", "green"})
        alike += not out
    assert wrong <= 0.05 * 2 * races
    assert alike < races  # worse ones are found


def test_a_metric_that_is_redefined_begins_anew(run_of, aggregate_of):
    goal = [Goal(metric="orders", role="primary")]
    before = look(
        run_of(goal, weights=EVEN), [aggregate_of(sums_of([(4000, 400), (4000, 520), (4000, 530), (4000, 410)]))], None
    )
    run, sums = run_of(goal, weights=EVEN, versions={"orders": 2}), sums_of([(4000, 400)] * 4)

    after = look(
        run,
        [aggregate_of(sums, versions={"orders": 2})],
        msgspec.json.decode(msgspec.json.encode(before), type=type(before)),
    )

    assert {each.beaten_by for each in after.best} == {None}
