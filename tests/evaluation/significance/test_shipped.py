"""What was shipped while a holdout was measured."""

from dataclasses import replace

import pytest

from evaluation.catalog.decisions import Decided
from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.significance.look import look
from evaluation.significance.shipped import Lift, added, shipped
from schemas.catalog import Flag, Goal, Membership, Variant
from schemas.look import Look

NOW = 5_000


def decided(step: str, time: int, variant: str | None = None) -> Decided:
    return Decided(
        step=step, variant=variant, version=2, author="a", reason="r", time=time, run="exp-1", by_plan=False, noted=None
    )


@pytest.fixture
def told(run_of, aggregate_of, conversions):
    """What is told of a holdout that is measured from 1000 on, beside flags with such decisions."""

    def told(**decisions):
        run = replace(run_of([Goal(metric="orders", role="primary")]), started=1_000)
        arms = (Variant(key="holdout", weight=200), Variant(key="on", weight=9_800))
        own = Flag(key="measured", owner="shop", variants=arms, metrics=run.definition.metrics, holdout="out")
        flags = {"measured": FlagInForce(own, "running", 1, 0, (run,))}
        for key in decisions:
            groups = () if key == "stranger" else (Membership(group="out"),)
            definition = Flag(key=key, owner="shop", variants=run.definition.variants, groups=groups)
            flags[key] = FlagInForce(definition, "rolled out", 1, 0, ())
        looks = {
            ("measured", "exp-1"): look(run, [aggregate_of(conversions((20_000, 2_000), (20_000, 2_400)))], None),
            ("bold", "exp-1"): look(run, [aggregate_of(conversions((10_000, 1_000), (10_000, 1_200)))], None),
            ("shy", "exp-1"): look(run, [aggregate_of(conversions((10_000, 1_000), (10_000, 1_100)))], None),
        }

        def look_of(flag: str, run: str) -> Look | None:
            return looks.get((flag, run))

        return shipped(Catalog(flags=flags), decisions, "measured", look_of), looks

    return told


def test_lifts_of_what_shipped_in_its_time_are_added_beside_what_the_holdout_shows(told):
    (metric,), looks = told(
        shy=[decided("complete", 2_000), decided("rollout", 3_000, "treatment"), decided("archive", NOW)],
        bold=[decided("rollout", 2_500, "treatment")],
        unmeasured=[decided("rollout", 4_000, "treatment")],
        taken_back=[decided("rollout", 2_000, "treatment"), decided("rollback", 2_500)],
        kept_as_it_was=[decided("rollout", 2_000, "control")],
        earlier=[decided("rollout", 500, "treatment")],
        stranger=[decided("rollout", 2_000, "treatment")],
    )

    assert [(each.flag, each.time, each.lift is not None) for each in metric.changes] == [
        ("bold", 2_500, True),
        ("shy", 3_000, True),
        ("unmeasured", 4_000, False),
    ]
    bold, shy = (each.lift for each in metric.changes[:2])
    assert (bold.estimate, shy.estimate) == (pytest.approx(0.2), pytest.approx(0.1))
    assert metric.total.estimate == pytest.approx(0.3)
    assert 0.3 - metric.total.lower == pytest.approx(((0.2 - bold.lower) ** 2 + (0.1 - shy.lower) ** 2) ** 0.5)
    measured = next(each for each in looks["measured", "exp-1"].cells if each.reading == "settled")
    assert metric.measured == Lift(
        measured.relative_estimate, measured.running_relative_lower, measured.running_relative_upper
    )
    assert metric.says.startswith("orders: 3 shipped, together +30.0% [")


def test_where_nothing_shipped_nothing_is_added(told):
    (metric,), _ = told()

    assert (metric.changes, metric.total) == ([], None)
    assert metric.says.startswith(
        "orders: nothing has shipped since the start; everybody else beside those held out: +20.0%"
    )
    assert added([Lift(0.1, None, 0.2), Lift(0.1, 0.0, 0.2)]) == Lift(0.2, None, pytest.approx(0.2 + 0.02**0.5))
