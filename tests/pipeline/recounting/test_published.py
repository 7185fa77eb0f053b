"""Published experiments whose metrics are added when all is over, and counted from the start: the published numbers.

The men of the National Supported Work programme and Thornton's people as `examples/data` has them; the resumes of
Bertrand and Mullainathan (American Economic Review 94(4), 2004, table 1: 235 of 2,435 with white names were called
back, and 157 of 2,435 with black ones); the person-years of RAND's health insurance experiment (Cameron and Trivedi,
Microeconometrics, 2005: 2.86 visits to a doctor, with a standard deviation of 4.50); the classes of Tennessee's STAR,
whose pupils' points statsmodels compares with errors that are robust to classes.
"""

import asyncio
import csv
import itertools
import json
import statistics
from collections.abc import Iterable, Iterator
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
from schemas.look import Look
from schemas.recount import Recount
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.questions.world import HORIZON, PARTITIONS, World
from tests.pipeline.recounting.test_telling import Brokers, folded

DATA = Path(__file__).parents[3] / "examples" / "data"
VECTORS = Path(__file__).parents[2] / "vectors"
STARTED = 1_764_000_000_000
OVER = STARTED + 5 * HOUR_MS
AT_FIRST = Metric(key="seen", owner="-", type="count", event="seen", window="none")
EARNED = Metric(key="earned", owner="-", type="sum", event="came", property="value", window="none", scale=6)
COUNTED = msgspec.structs.replace(EARNED, key="counted", event="counted", scale=0)
POINTS = Metric(key="points", owner="-", type="ratio", numerator="earned", denominator="counted", window="none")
CAME = Metric(key="came", owner="-", type="conversion", event="came", window="none")


class Published(NamedTuple):
    """Arms, the control first; whether a unit is in the second of them, and its value: 0 for none.

    `sizes`: how many each unit stands for; where that isn't asked, 1.
    """

    arms: tuple[str, str]
    units: list[tuple[bool, Decimal]]
    sizes: Iterable[int] = itertools.repeat(1)


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


def rand() -> Published:
    plans = [(arm == "free", json.loads((VECTORS / "rand.json").read_text())[arm]) for arm in ("pays", "free")]
    units = [(is_free, Decimal(visits)) for is_free, its in plans for visits, years in its for _ in range(years)]
    visits = [int(value) for _, value in units]
    assert (len(visits), sum(visits)) == (20_190, 57_752)
    assert (round(statistics.mean(visits), 2), round(statistics.stdev(visits), 2)) == (2.86, 4.50)
    return Published(("pays", "free"), units)


def star() -> tuple[Published, dict[str, float]]:
    """Its classes, and what statsmodels says of them."""
    told = json.loads((VECTORS / "regression.json").read_text())["star"]
    units = [(is_small == 1, Decimal(points)) for is_small, _, points in told["classes"]]
    return Published(("regular", "small"), units, [pupils for _, pupils, _ in told["classes"]]), told["clusters"]


def happened(published: Published) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Of each unit its exposure, and the events that came of it."""
    for number, ((is_second, value), size) in enumerate(zip(published.units, published.sizes, strict=False)):
        of_unit = {"user_id": f"u{number}", "time": STARTED + 2_000 + number}
        exposure = of_unit | {"flag_key": "trial", "variant": published.arms[is_second]}
        event = of_unit | {"time": STARTED + HOUR_MS + number}
        said = {"came": float(value), "counted": size} if value else {}
        yield exposure, [event | {"event_type": name, "event_properties": {"value": its}} for name, its in said.items()]


def counted_late(published: Published, directory: Path, late: tuple[Metric, ...]) -> Look:
    """The look at what was measured when all was over."""
    flag = Flag(
        key="trial",
        owner="-",
        variants=tuple(Variant(key=each) for each in published.arms),
        metrics=(Goal(metric="seen"),),
    )
    history, draft = History(), apply_definition(None, flag, 1)
    for spec in (AT_FIRST, *late, draft):
        history.suppose(spec, STARTED - 60_000)
    history.suppose(start(draft, 2, "salt"), STARTED)
    settings = Settings(
        data=directory, horizon=HORIZON, tolerance=HORIZON, units_partitions=PARTITIONS, recount_share=1
    )
    world = World(directory / "archive", history, flag.key)
    exposures, events = zip(*happened(published), strict=True)
    world.send(EXPOSURES, list(exposures), [each["time"] for each in exposures])
    came = [*itertools.chain(*events)]
    world.send(EVENTS, came, [each["time"] for each in came])
    world.flush(OVER)

    goals = tuple(Goal(metric=each.key) for each in (AT_FIRST, *late))
    listed = msgspec.structs.replace(flag, metrics=goals)
    world.history.suppose(apply_definition(world.history.state_of("trial"), listed, 3), OVER + 10_000)
    world.history.suppose(Recount(key="trial", run="exp-1", state="begun"), OVER + 20_000)
    (generation,) = coming(world.history.newest)
    world.flush(OVER + HOUR_MS)
    teller = Teller(settings, Past(world.history.copy(), generation), world.history)
    asyncio.run(teller.tell(Brokers(world, OVER + 2 * HOUR_MS, 1 << 20)))  # type: ignore[arg-type]
    world.history.suppose(Recount(key="trial", run="exp-1", state="complete"), OVER + 3 * HOUR_MS)
    world.flush(OVER + 4 * HOUR_MS)

    return look(world.run, list(itertools.chain(*(each.aggregates() for each in folded(world)))), None)


@pytest.mark.parametrize(
    "published", [nsw(), thornton(), resumes(), rand()], ids=["NSW", "Thornton", "resumes", "RAND"]
)
def test_metrics_that_come_late_have_the_published_numbers_to_the_last_digit(
    published: Published, tmp_path: Path
) -> None:
    made = counted_late(published, tmp_path, (EARNED, CAME))

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


def test_classes_whose_ratio_comes_late_have_the_errors_that_are_robust_to_them(tmp_path: Path) -> None:
    published, expected = star()

    made = counted_late(published, tmp_path, (EARNED, COUNTED, POINTS))

    (cell,) = [each for each in made.cells if (each.metric, each.reading) == ("points", "live")]
    told = (cell.estimate, cell.standard_error)
    assert told == pytest.approx((expected["estimate"], expected["standard_error"]), rel=1e-6)
