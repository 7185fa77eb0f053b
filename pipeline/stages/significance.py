"""Significance: is the difference real yet?

Keeps the newest aggregate of every units partition, and makes a look of each run when there is news. It continues from
its own last word on `results`; a look there that it did not write means that two workers decide about one run, and it
stops.
"""

import zlib
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from aiokafka import ConsumerRecord

from evaluation.significance.look import decode_look, encode_look, has_news, look
from pipeline.catalog import CatalogReader
from pipeline.errors import PeekproofError
from pipeline.follower import Follower
from pipeline.settings import Settings
from pipeline.stages.stage import Source, Stage
from schemas.aggregate import Aggregate
from schemas.look import Look
from schemas.records import Records
from schemas.topics import AGGREGATES, RESULTS, topics

RunKey = tuple[str, str]  # flag, run
LONGEST_SILENCE = 2.0  # seconds without a look while there is news


class Significance(Stage):
    """Aggregates in; looks out."""

    name: ClassVar[str] = "significance"
    topics: ClassVar[tuple[str, ...]] = (AGGREGATES,)
    tick_seconds: ClassVar[float] = 1.0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._catalog = CatalogReader(settings)
        self._results = Follower(settings, RESULTS, self._read_look)
        self._aggregates: dict[int, dict[RunKey, dict[int, Aggregate]]] = {}  # by aggregates partition
        self._news: set[RunKey] = set()
        self._looks: dict[RunKey, Look] = {}
        self._sent: dict[RunKey, bytes] = {}  # the look that is on its way to `results`
        self._silent: dict[RunKey, float] = {}
        self._places = next(topic.partitions for topic in topics(1) if topic.name == RESULTS)

    async def start(self) -> None:
        """Connect; read the catalog, and every run's last look."""
        await super().start()
        await self._catalog.start()
        await self._results.start()

    async def start_position(self, source: Source, earliest: int) -> int | None:
        """From the beginning: the topic is compacted to the newest aggregate of each key."""
        del source
        return earliest

    def begin(self, source: Source, offset: int) -> None:
        """Nothing is known of the runs of this partition yet."""
        del offset
        self._aggregates[source[1]] = {}

    async def take(self, source: Source, records: Records) -> None:
        """Keep the newest aggregate of each run and units partition."""
        runs = self._aggregates[source[1]]
        for row in range(len(records)):
            value = records.value(row)
            if value is None:
                continue
            aggregate = msgspec.json.decode(value, type=Aggregate)
            run = (aggregate.flag, aggregate.run)
            known = runs.setdefault(run, {}).get(aggregate.partition)
            if known is None or aggregate.offset > known.offset:
                runs[run][aggregate.partition] = aggregate
                self._news.add(run)
        self.durable(source, records.end)
        self.count("aggregates", len(records))

    async def tick(self) -> None:
        """Make a look of every run that has news."""
        if not self._news:
            return
        await self._catalog.caught_up()
        await self._results.caught_up()
        for runs in self._aggregates.values():
            for run in sorted(self._news & runs.keys()):
                if len(runs[run]) == self.settings.units_partitions:
                    await self._look_at(run, list(runs[run].values()))

    async def release(self, sources: Iterable[Source]) -> None:
        """Forget the runs of these partitions; another worker reads them from the beginning."""
        for _, number in sources:
            for run in self._aggregates.pop(number, {}):
                self._sent.pop(run, None)

    async def stop(self) -> None:
        """Disconnect."""
        await self._results.stop()
        await self._catalog.stop()
        await super().stop()

    async def _look_at(self, run: RunKey, aggregates: list[Aggregate]) -> None:
        catalog = self._catalog.history.at_offset(max(aggregate.catalog for aggregate in aggregates))
        flag = catalog.flags[run[0]]
        of_run = next(known for known in flag.runs if known.key == run[1])
        last = self._looks.get(run)
        newest = look(of_run, aggregates, last)
        self._silent[run] = self._silent.get(run, 0.0) + self.tick_seconds
        if not has_news(newest, last, silent=self._silent[run] >= LONGEST_SILENCE):
            return
        value = encode_look(newest)
        key = f"{run[0]}/{run[1]}".encode()
        self._sent[run] = value
        await self.send_all([(RESULTS, key, value, zlib.crc32(key) % self._places)])
        self._looks[run] = newest
        self._silent[run] = 0.0
        self._news.discard(run)
        self.count("looks", 1)

    def _read_look(self, record: ConsumerRecord) -> None:
        """A look as every reader takes it: the successor of the last one, and none else."""
        found = decode_look(record.value)
        run = (found.experiment, found.run)
        last = self._looks.get(run)
        if run in self._sent:
            if record.value != self._sent[run] and found.look >= self._decided(run):
                raise PeekproofError(
                    f"look {found.look} of {run[0]}/{run[1]} on `results` was written by another worker; this one "
                    "stops, and starts again from what stands there. One consumer group decides under one prefix"
                )
            return
        if found.look == (last.look if last else 0) + 1:
            self._looks[run] = found

    def _decided(self, run: RunKey) -> int:
        return decode_look(self._sent[run]).look
