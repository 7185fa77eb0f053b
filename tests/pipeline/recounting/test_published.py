"""Published experiments whose metrics are added when all is over, and counted from the start: the published numbers.

The men of the National Supported Work programme and Thornton's people as `examples/data` has them; the resumes of
Bertrand and Mullainathan (American Economic Review 94(4), 2004, table 1: 235 of 2,435 with white names were called
back, and 157 of 2,435 with black ones).
"""

import asyncio
import csv
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.catalog.recounts import coming
from evaluation.recounting.past import Past
from evaluation.significance.look import look
from pipeline.recounting.telling import Teller
from pipeline.settings import Settings
from schemas.catalog import Flag, Goal, Metric, Variant
from schemas.duration import HOUR_MS
from schemas.recount import Recount
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.questions.world import HORIZON, PARTITIONS, World
from tests.pipeline.recounting.test_telling import Brokers, folded

DATA = Path(__file__).parents[3] / "examples" / "data"
STARTED = 1_764_000_000_000
OVER = STARTED + 5 * HOUR_MS
AT_FIRST = Metric(key="seen", owner="-", type="count", event="seen", window="none")
EARNED = Metric(key="earned", owner="-", type="sum", event="came", property="value", window="none", scale=6)
CAME = Metric(key="came", owner="-", type="conversion", event="came", window="none")


class Published(NamedTuple):
    """Arms, the control first; whether a unit is in the second of them, and its value: 0 for none."""

    arms: tuple[str, str]
    units: list[tuple[bool, Decimal]]


def nsw() -> Published:
    with (DATA / "nsw.csv").open() as file:
        return Published(
            ("control", "training"),
            [(row["group"] == "training", Decimal(row["re78"])) for row in csv.DictReader(file)],
        )


def thornton() -> Published:
    with (DATA / "thornton_hiv.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["got_results"]]
    return Published(("none", "some"), [(row["incentive"] == "some", Decimal(row["got_results"])) for row in rows])


def resumes() -> Published:
    counts = ((True, 235, 2_435), (False, 157, 2_435))
    units = [(is_white, Decimal(i < called)) for is_white, called, all_ in counts for i in range(all_)]
    return Published(("black", "white"), units)


def happened(published: Published) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Of each unit its exposure, and the event that came of it."""
    for number, (is_second, value) in enumerate(published.units):
        of_unit = {"user_id": f"u{number}", "time": STARTED + 2_000 + number}
        came = {"event_type": "came", "event_properties": {"value": float(value)}}
        exposure = of_unit | {"flag_key": "trial", "variant": published.arms[is_second]}
        yield exposure, of_unit | {"time": STARTED + HOUR_MS + number} | came if value else None


@pytest.mark.parametrize("published", [nsw(), thornton(), resumes()], ids=["NSW", "Thornton", "resumes"])
def test_metrics_that_come_late_have_the_published_numbers_to_the_last_digit(
    published: Published, tmp_path: Path
) -> None:
    flag = Flag(
        key="trial",
        owner="-",
        variants=tuple(Variant(key=each) for each in published.arms),
        metrics=(Goal(metric="seen"),),
    )
    history, draft = History(), apply_definition(None, flag, 1)
    for spec in (AT_FIRST, EARNED, CAME, draft):
        history.suppose(spec, STARTED - 60_000)
    history.suppose(start(draft, 2, "salt"), STARTED)
    settings = Settings(data=tmp_path, horizon=HORIZON, tolerance=HORIZON, units_partitions=PARTITIONS, recount_share=1)
    world = World(tmp_path / "archive", history, flag.key)
    exposures, events = zip(*happened(published), strict=True)
    world.send(EXPOSURES, list(exposures), [each["time"] for each in exposures])
    world.send(EVENTS, [*filter(None, events)], [each["time"] for each in events if each])
    world.flush(OVER)

    late = msgspec.structs.replace(flag, metrics=tuple(Goal(metric=each) for each in ("seen", "earned", "came")))
    world.history.suppose(apply_definition(world.history.state_of("trial"), late, 3), OVER + 10_000)
    world.history.suppose(Recount(key="trial", run="exp-1", state="begun"), OVER + 20_000)
    (generation,) = coming(world.history.newest)
    world.flush(OVER + HOUR_MS)
    teller = Teller(settings, Past(world.history.copy(), generation), world.history)
    asyncio.run(teller.tell(Brokers(world, OVER + 2 * HOUR_MS, 1 << 20)))  # type: ignore[arg-type]
    world.history.suppose(Recount(key="trial", run="exp-1", state="complete"), OVER + 3 * HOUR_MS)
    world.flush(OVER + 4 * HOUR_MS)

    made = look(world.run, list(itertools.chain(*(each.aggregates() for each in folded(world)))), None)
    for metric in ("earned", "came"):
        (cell,) = [each for each in made.cells if (each.metric, each.reading) == (metric, "live")]
        numbers = [(arm, value if metric == "earned" else Decimal(value > 0)) for arm, value in published.units]
        values = [[number for each, number in numbers if each == arm] for arm in (False, True)]
        assert (cell.control, cell.variant) == published.arms
        assert cell.exploratory is True
        assert (cell.control_n, cell.n) == tuple(map(len, values))
        scale = 10**cell.scale
        assert (int(cell.control_sum), int(cell.sum)) == tuple(int(sum(each) * scale) for each in values)
        assert int(cell.sum_squares) == int(sum(each * each for each in values[1]) * scale**2)
        means = [sum(each) / len(each) for each in values]
        assert cell.estimate == pytest.approx(float(means[1] - means[0]), rel=1e-12)
