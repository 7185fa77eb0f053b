"""Following `results`: the newest look of each run at the start, what comes, and meanwhile some of those before.

A week of looks takes minutes to read. So the start reads from the bookmark on, and then single places of the log before
it, which lie the closer together the newer they are: a run that began yesterday has its course, too.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.http.results.looks import Looks
from pipeline.kafka.bookmark import newest_looks
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.follower import Follower
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import RESULTS

PLACES = 128  # of a partition that are read
FEW = 16  # records there, of which one of each run is remembered
FETCH_BYTES = 1 << 16


class ResultsFollower(Follower):
    """Gives the records to `looks`; `recalled` is when all that there was is remembered."""

    def __init__(self, settings: Settings, looks: Looks, aside: SetAside) -> None:
        super().__init__(settings, RESULTS, looks.read, aside)
        self._looks = looks
        self.recalled: asyncio.Task[None] | None = None

    async def start(self) -> None:  # type: ignore[override]
        """Return when the newest looks are known."""
        begins, found = await newest_looks(self._settings)
        for record in found:
            with self._aside.unless_ours(RESULTS, record.partition, record.offset):
                self._looks.read(record)
        await super().start(begins)
        self.recalled = asyncio.create_task(self._recall(begins), name="recall looks")

    @property
    def failure(self) -> BaseException | None:
        """What ended the following, or the recalling."""
        task = self.recalled
        return super().failure or (task.exception() if task and task.done() and not task.cancelled() else None)

    async def stop(self) -> None:
        """Stop reading."""
        if self.recalled is not None:
            self.recalled.cancel()
            await asyncio.gather(self.recalled, return_exceptions=True)
        await super().stop()

    async def _recall(self, ends: dict[int, int]) -> None:
        places = {TopicPartition(self._topic, number): end for number, end in ends.items()}
        async with AIOKafkaConsumer(
            group_id=None,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            **aiokafka_arguments(self._settings),
        ) as consumer:
            begins = await consumer.beginning_offsets(places)
            for run in self._looks.runs.values():
                place = TopicPartition(self._topic, run.partition)
                if begins.get(place, 0) < places.get(place, 0):
                    run.begin(begins[place])
            for place, end in places.items():
                consumer.assign([place])
                for offset in _spread(begins[place], end):
                    consumer.seek(place, offset)
                    fetched = await consumer.getmany(place, timeout_ms=1_000, max_records=FEW)
                    firsts = {record.key: record for record in reversed(fetched.get(place, ()))}
                    for record in firsts.values():
                        with self._aside.unless_ours(RESULTS, place.partition, record.offset):
                            self._looks.recall(record)


def _spread(begin: int, end: int) -> list[int]:
    """Offsets in [begin, end), the closer together the nearer to the end."""
    size = max(0, end - begin)
    return sorted({end - 1 - size * number * number // PLACES**2 for number in range(PLACES)} - {begin - 1})
