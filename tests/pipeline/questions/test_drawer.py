"""The drawer, against the SQL oracle over the same rows."""

import time
from dataclasses import replace

import msgspec
import pytest

from evaluation.catalog.in_force import RunInForce
from evaluation.metrics.contribution import OTHER
from pipeline.questions.drawer import Drawer, drawer
from schemas.catalog import Analysis, Cuped
from schemas.units import RowKind, decode_units
from tests.oracle import Oracle, Row, definitions, segments
from tests.pipeline.questions.world import HORIZON, World


def draw(world: World, metric: str, segment: str = "all", seconds: float = 60.0) -> Drawer:
    now = time.time_ns() // 1_000_000
    return drawer(world.directory, None, world.run, metric, segment, now, seconds)


@pytest.fixture(scope="module")
def oracle(world: World) -> Oracle:
    """The tables `members` and `numbers` of the oracle, filled with the rows of `units`."""
    exposures: list[Row] = []
    events: list[Row] = []
    for message in (message for messages in world.messages for message in messages):
        batch, header = decode_units(message)
        for row in batch.to_pylist():
            kind = RowKind(row["kind"])
            late, own = bool(kind & RowKind.LATE), (row["unit"], row["time"], row["id"])
            if kind & RowKind.EXPOSURE:
                arm = header.arms[row["code"]]
                told = segments(world.run.definition.breakdowns, row["value"])
                flags = bool(kind & RowKind.INACTIVE), bool(kind & RowKind.FORCED)
                exposures.append((arm.run, arm.allocation, arm.variant, *own, row["value"], told, late, *flags))
            else:
                unusable = bool(kind & RowKind.UNUSABLE)
                events.append((header.facts[row["code"]], *own, row["value"], late, unusable))
    oracle = Oracle()
    tables = definitions([world.run], HORIZON) | {"exposures": exposures, "events": events}
    oracle.answer(tables, 1 << 60, HORIZON, 60_000)
    return oracle


def rows_of(oracle: Oracle, query: str, *parameters: object) -> list[Row]:
    return oracle._database.execute(query, parameters).fetchall()


NUMBERS = """
SELECT m.variant, m.unit, min(n.x) FILTER (n.number = 0), min(n.x) FILTER (n.number = 1)
FROM members m JOIN numbers n ON n.run = m.run AND n.unit = m.unit AND n.is_after
WHERE n.metric = ? AND list_contains(m.segments, ?) GROUP BY ALL
"""


@pytest.mark.parametrize("segment", ["all", "country=AT", f"country={OTHER}"])
@pytest.mark.parametrize("metric", ["buyers", "spent", "views", "basket"])
def test_the_distribution_is_that_of_the_units_numbers_in_sql(
    world: World, oracle: Oracle, metric: str, segment: str
) -> None:
    scale = 10**6 if metric == "spent" else 1
    found = draw(world, metric, segment)

    assert found.sampled == 1.0
    assert found.notes == []
    for arm in found.arms:
        its = [x / scale for variant, _, x, _ in rows_of(oracle, NUMBERS, metric, segment) if variant == arm.variant]
        assert arm.units == len(its) > 20
        assert arm.mean == pytest.approx(sum(its) / len(its), rel=1e-12)
        assert arm.distribution.zeros == its.count(0)
        bins = [*zip(found.edges[:-1], found.edges[1:], strict=True)]
        is_last = [edge == found.edges[-1] for edge in found.edges[1:]]
        expected = [
            sum(low <= x < high or (last and x == high) for x in its if x != 0)
            for (low, high), last in zip(bins, is_last, strict=True)
        ]
        assert arm.distribution.counts == expected
        assert sum(expected) + its.count(0) == len(its)


def test_growth_reached_and_means_of_ratios_are_those_of_sql(world: World, oracle: Oracle) -> None:
    """The last age of a window is the window; a ratio's mean is that of sums; a funnel's last step is its number."""
    ratio, basket, spent = draw(world, "per-view"), draw(world, "basket"), draw(world, "spent")

    for arm in ratio.arms:
        its = [(x, y) for variant, _, x, y in rows_of(oracle, NUMBERS, "per-view", "all") if variant == arm.variant]
        assert arm.mean == pytest.approx(sum(x for x, _ in its) / 10**6 / sum(y for _, y in its), rel=1e-12)
    assert basket.steps == ["view", "buy"]
    for arm in basket.arms:
        done = [x for variant, _, x, _ in rows_of(oracle, NUMBERS, "basket", "all") if variant == arm.variant]
        assert arm.units > arm.reached[0] > arm.reached[1] == sum(done)
    assert spent.ages[-1] == 12 * 3_600_000
    settled = f"""
        SELECT m.variant, count(*), sum(n.x) FROM members m JOIN numbers n ON n.run = m.run AND n.unit = m.unit
        WHERE n.metric = 'spent' AND n.is_after AND m.entry + {12 * 3_600_000 + HORIZON} < {spent.as_of} GROUP BY ALL
    """
    for variant, units, total in rows_of(oracle, settled):
        last = next(arm for arm in spent.arms if arm.variant == variant).growth[-1]
        assert (last.units, last.mean) == (units, pytest.approx(total / 10**6 / units, rel=1e-12))


def test_what_time_does_not_suffice_for_is_told(world: World) -> None:
    found = draw(world, "spent", seconds=0.0)

    assert found.as_of == 0
    assert [note.partition(",")[0] for note in found.notes] == ["nothing of this run was read in time"]


def test_numbers_are_said_to_be_those_before_adjustment_where_effects_are_adjusted(world: World) -> None:
    spent = world.run.metrics["spent"]
    looking_back = msgspec.structs.replace(spent.definition, cuped=Cuped(lookback="1d"))
    metrics = {"spent": replace(spent, definition=looking_back)}
    definition = msgspec.structs.replace(world.run.definition, analysis=Analysis(cuped=True))

    def notes(run: RunInForce) -> list[str]:
        return drawer(world.directory, None, run, "spent", "all", time.time_ns() // 1_000_000, 60.0).notes

    adjusted = replace(world.run, metrics=metrics, definition=definition)
    assert [note.partition(":")[0] for note in notes(adjusted)] == ["these are the numbers before adjustment"]
    assert notes(replace(world.run, metrics=metrics)) == []
