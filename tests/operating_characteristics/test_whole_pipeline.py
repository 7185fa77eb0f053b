"""Events in, verdicts out: how often the whole pure pipeline errs while it is watched all the time."""

import numpy as np
import pytest

from pipeline.simulation.stream import Trial, play

SETS, EXPERIMENTS, VISITORS = 4, 10, 3_000  # of visitors, and of A/A tests on each
ALPHA = 0.05  # is the bound itself: the seed is fixed, and the inference errs less often than it promises
METRICS = ("purchase", "revenue", "views")


@pytest.fixture(scope="module", params=[0.5, 0.1], ids=["50/50", "90/10"])
def looks(request):
    """By moment and experiment. In the first experiment the treated buy more often; the others are A/A."""
    random = np.random.default_rng(20_26)
    trial = Trial(EXPERIMENTS + 1, visitors=VISITORS, looks=20, share=request.param, effect=0.6)
    trials = [list(play(random, trial)) for _ in range(SETS)]
    return [[made[0][0], *(look for its in made for look in its[1:])] for made in zip(*trials, strict=True)]


def aa_tests(looks):
    """The looks of each experiment without an effect."""
    return list(zip(*(made[1:] for made in looks), strict=True))


def settled(look, metric):
    return next(cell for cell in look.cells if (cell.metric, cell.reading) == (metric, "settled"))


def test_watching_all_the_time_does_not_raise_false_positives(looks):
    cells = {metric: [settled(look, metric) for look in looks[-1][1:]] for metric in METRICS}

    assert {cell.status for its in cells.values() for cell in its} == {"ok"}
    for its in cells.values():
        assert np.mean([cell.running_p_value < cell.alpha for cell in its]) <= ALPHA


def test_a_test_for_one_look_breaks_alpha_in_the_same_trial(looks):
    def rejects(cell):
        return cell.status == "ok" and abs(cell.estimate) > 1.96 * cell.standard_error

    found = [any(rejects(settled(look, metric)) for look in its) for its in aa_tests(looks) for metric in METRICS]

    assert np.mean(found) > 2 * ALPHA


def test_no_more_than_alpha_of_aa_tests_are_told_to_ship(looks):
    shipped = [any(look.verdict.decision == "ship" for look in its) for its in aa_tests(looks)]

    assert np.mean(shipped) <= ALPHA


def test_open_windows_do_not_call_a_guardrail_harmed_more_often_than_alpha(looks):
    def live(look):
        return next(cell for cell in look.cells if (cell.metric, cell.reading) == ("error", "live"))

    tests = [[live(look) for look in its] for its in aa_tests(looks)]

    assert {(cell.method, cell.alpha) for its in tests for cell in its} == {("exact", 0.05)}
    assert all(settled(look, "error").n < live(look).n for look in looks[5])  # many windows are open then
    assert np.mean([any(cell.judgement == "harmed" for cell in its) for its in tests]) <= ALPHA


def test_an_effect_is_found_and_shipped(looks):
    first = looks[-1][0]

    assert first.verdict.decision == "ship"
    assert settled(first, "purchase").running_lower > 0.0


def test_every_visitor_is_settled_at_the_last_look(looks):
    last = looks[-1][1]

    cell = settled(last, "purchase")

    assert cell.n + cell.control_n == VISITORS == sum(arm.units for arm in last.health.arms)
    assert last.health.late_events == last.health.jumpers == 0
