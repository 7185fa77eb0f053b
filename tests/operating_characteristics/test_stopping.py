"""Stopping: plans seldom stop a rollout in vain, however often one looks, and soon one that harms."""

import numpy as np
import pytest

from evaluation.plans.acts import RollBack, TakeStep
from pipeline.simulation.harm import Ramp, draw, is_harmed, naive, peer
from pipeline.simulation.pool import numbers_of
from pipeline.simulation.rollouts import Ramps, follow
from pipeline.simulation.stopping import counts

ROLLOUTS = 100
BOUND = 0.05 + 3 * np.sqrt(0.05 * 0.95 / ROLLOUTS)
STEPS = ((0, 1.0), (300, 10.0), (1_200, 50.0))


def drawn(harm=0.0, later=1.0):
    ramp = Ramp(steps=STEPS, seconds=3_600, harm=harm, later=later)
    return draw(np.random.default_rng(20_26), ramp, ROLLOUTS)


@pytest.fixture(scope="module")
def followed():
    """The looks of rollouts that harm, from events on."""
    moments = list(follow(np.random.default_rng(20_26), Ramps(6, visitors=8_000, looks=20, harm=1.0)))
    return {key: [moment[key] for moment in moments if key in moment] for key in moments[0]}


def test_the_plan_takes_its_steps_and_rolls_back_what_harms(followed):
    acts = [[each.said.act for each in its if each.said.act] for its in followed.values()]

    assert all(each[:2] == [TakeStep(2), TakeStep(3)] for each in acts)
    assert sum(each[2:] == [RollBack()] for each in acts) >= 4


def test_looks_from_events_on_say_what_their_counts_say(followed):
    for its in followed.values():
        alarms = [any(alarm.name == "error/treatment" for alarm in each.said.alarms) for each in its]

        assert is_harmed(counts(its, "live"), counts(its, "settled"))[0].tolist() == alarms


@pytest.mark.parametrize("later", [1.0, 3.0], ids=["a steady rate", "a rate that trebles"])
def test_looks_at_every_second_keep_alpha_through_a_ramp_where_t_tests_break_it(later):
    live, settled = drawn(later=later)

    assert np.mean(is_harmed(live, settled).any(-1)) <= BOUND
    assert np.mean(peer(live).any(-1)) <= BOUND
    assert np.mean(naive(live).any(-1)) > 2 * BOUND


def test_harm_is_stopped_and_the_sooner_the_more_often_one_looks():
    live, settled = drawn(harm=0.5)

    found = {seconds: is_harmed(live.every(seconds), settled.every(seconds)) for seconds in (1, 900)}
    stopped = {seconds: (says.argmax(-1) + 1) * seconds for seconds, says in found.items()}

    assert all(says.any(-1).all() for says in found.values())
    assert np.median(stopped[1]) < np.median(stopped[900])


def test_counts_of_settled_units_are_those_of_all_units_a_window_ago():
    live, settled = drawn()

    assert np.array_equal(settled.units[..., 600:], live.units[..., :-600])
    assert np.all(settled.conversions <= live.conversions)
    assert np.all(live.conversions <= live.units)


def test_parts_share_no_piece_and_make_up_the_whole():
    parts = [numbers_of("inference"), numbers_of("plans")]

    assert sorted([*parts[0], *parts[1]]) == numbers_of(None)
