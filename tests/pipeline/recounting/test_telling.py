"""A run's past, told from an archive by a reader that falls: to states that can be rebuilt, and to look-ups."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evaluation.catalog.lifecycle import apply_definition, complete
from evaluation.catalog.recounts import coming
from evaluation.exploring.question import ExploreQuestion
from evaluation.metrics.partition import Partition
from evaluation.recounting.past import Past
from pipeline.exploring.explore import explore
from pipeline.questions.drawer import drawer
from pipeline.recounting import past_source, telling
from pipeline.recounting.telling import Teller
from pipeline.recovery.rebuild import Rebuild
from pipeline.settings import Settings
from pipeline.storage import archive, bands
from schemas.aggregate import Aggregate
from schemas.duration import DAY_MS, HOUR_MS
from schemas.recount import Recount
from tests.pipeline.questions.world import FLAG, HORIZON, PARTITIONS, World, history_of, live

STARTED = 1_764_000_000_000
EDITED = STARTED + 5 * HOUR_MS
AT_FIRST = msgspec.structs.replace(FLAG, metrics=FLAG.metrics[:1], breakdowns=())


class Brokers:
    """What a reader sends to `units`; after so many messages they are gone."""

    def __init__(self, world: World, now: int, most: int) -> None:
        self.world, self.now, self.left = world, now, most

    async def send(self, _: str, message: bytes, partition: int) -> Any:
        if self.left == 0:
            raise ConnectionError
        self.left -= 1
        self.world.tell(self.now, partition, message)
        return asyncio.ensure_future(asyncio.sleep(0))


def lived(directory: Path, flag: Any, is_over: bool) -> World:
    """Some hours of it; then it is complete, or not."""
    world = World(directory, history_of(STARTED, flag))
    live(world, STARTED, hours=4)
    if is_over:
        step(world, complete, EDITED - HOUR_MS // 2)
    return world


def step(world: World, change: Any, now: int) -> None:
    state = world.history.state_of(world.flag)
    version = world.history.newest.version_of("flag", world.flag) + 1
    world.history.suppose(change(state, version), now)


def folded(world: World) -> list[Partition]:
    partitions = [Partition(number, HORIZON) for number in range(PARTITIONS)]
    for partition, messages in zip(partitions, world.messages, strict=True):
        for offset, message in enumerate(messages):
            partition.fold(offset, message, world.history.at_offset)
    return partitions


def sums(world: World) -> list[Any]:
    found: list[Aggregate] = [each for partition in folded(world) for each in partition.aggregates()]
    return [(each.partition, each.final, each.arms, each.sums, each.exposures, each.jumpers) for each in found]


@pytest.mark.parametrize("is_over", [False, True], ids=["it runs", "it is final"])
def test_a_run_is_counted_again_as_if_it_had_had_it_all_from_its_first_day(
    is_over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        data=tmp_path / "data", horizon=HORIZON, tolerance=HORIZON, units_partitions=PARTITIONS, recount_share=1.0
    )
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    monkeypatch.setattr(bands, "GROUP_BYTES", 500)
    directory = settings.data / "archive"
    world, truth = lived(directory, AT_FIRST, is_over), lived(tmp_path / "truth", FLAG, is_over)
    over = EDITED + 3 * DAY_MS if is_over else EDITED + HOUR_MS
    for each in (world, truth):
        each.flush(over)
    assert all(final == is_over for _, final, *_ in sums(world))
    step(world, lambda state, version: apply_definition(state, FLAG, version), over + 10_000)
    world.history.suppose(Recount(key=world.flag, run="exp-1", state="begun"), over + 20_000)
    (generation,) = coming(world.history.newest)
    for each in (world, truth):
        live(each, over + HOUR_MS, hours=2)

    monkeypatch.setattr(telling, "MOST_ROWS", 100)
    monkeypatch.setattr(past_source, "ROWS", 20)

    def tell(most: int) -> None:
        teller = Teller(settings, Past(world.history.copy(), generation), world.history)
        asyncio.run(teller.tell(Brokers(world, over + 4 * HOUR_MS, most)))  # type: ignore[arg-type]

    def rebuilt() -> list[bytes]:
        return [each.save() for each in Rebuild(directory, world.history, settings, None).states()]

    with pytest.raises(ConnectionError):
        tell(2 * PARTITIONS + 1)
    world.flush(over + 5 * HOUR_MS)
    assert rebuilt() == [each.save() for each in folded(world)], "while it is counted again"
    before = sums(world)
    tell(1 << 20)
    assert sums(world)[0][3] == before[0][3], "it goes on as it was"

    world.history.suppose(Recount(key=world.flag, run="exp-1", state="complete"), over + 6 * HOUR_MS)
    for each in (world, truth):
        each.flush(over + 8 * HOUR_MS)
    assert world.run.generation == generation
    assert sums(world) == sums(truth)
    assert rebuilt() == [each.save() for each in folded(world)]
    drawn = [
        drawer(each.directory, None, each.run, "spent", "country=AT", over + 8 * HOUR_MS, 600.0).arms
        for each in (world, truth)
    ]
    assert drawn[0] == drawn[1]
    asked = ExploreQuestion(metrics=("spent",), by=(("country",),))
    explored = [
        explore(each.directory, each.history, each.flag, None, asked, HORIZON, HORIZON).cells for each in (world, truth)
    ]
    of_slices = [
        [(each.slice, each.cell.n, each.cell.sum, each.cell.control_sum) for each in cells] for cells in explored
    ]
    assert of_slices[0] == of_slices[1]
    assert of_slices[0]
