"""Worker: one process that runs one stage as a Faust app."""

import importlib
import os
from dataclasses import replace

from faust.types import TP

from pipeline import topics
from pipeline.heartbeat import INTERVAL, Heartbeat
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.stages.stage import Source, Stage
from pipeline.transport.app import App, create_app, run
from schemas.health import PartitionHealth
from schemas.records import Records


def run_worker(name: str, settings: Settings) -> None:
    """Run a stage until SIGTERM (exit code 0) or an error (exit code 1). Does not return.

    Raises PeekproofError where the cluster's topics don't fit.
    """
    topics.require(settings)
    module, kind = STAGES[name].split(":")
    stage = getattr(importlib.import_module(module), kind)(settings)
    os.nice(stage.niceness)
    run(create_worker(stage, settings))


class Worker:
    """Drives a stage: gives it the group's partitions, the slices, the broker's clock, and a regular tick."""

    def __init__(self, stage: Stage, settings: Settings, app: App) -> None:
        self._stage = stage
        self._app = app
        self._names = {settings.topic(name): name for name in stage.topics}
        self._topics = {name: topic for topic, name in self._names.items()}
        self._taken: dict[TP, int] = {}  # up to where each partition was taken
        self._ends: dict[TP, int] = {}  # where the logs ended at the last beat
        self._heart: Heartbeat
        self._settings = settings
        stage.durable = lambda source, offset: app.durable(self._tp(source), offset)

    def source(self, tp: TP) -> Source:
        """The partition without the deployment's prefix."""
        return self._names[tp.topic], tp.partition

    def _tp(self, source: Source) -> TP:
        return TP(self._topics[source[0]], source[1])

    async def start(self) -> None:
        """Connect the stage."""
        await self._stage.start()
        self._heart = Heartbeat(self._settings, self._stage.name, self._stage.producer)

    async def start_position(self, tp: TP, earliest: int) -> int | None:
        """The stage's choice."""
        return await self._stage.start_position(self.source(tp), earliest)

    def begin(self, tp: TP, offset: int) -> None:
        """A partition is this worker's, from this offset on."""
        self._taken[tp] = offset
        self._stage.begin(self.source(tp), offset)

    async def take(self, tp: TP, records: Records) -> None:
        """One slice for the stage."""
        source = self.source(tp)
        await self._stage.take(source, replace(records, topic=source[0]))
        self._taken[tp] = records.end

    async def release(self, tps: set[TP]) -> None:
        """Partitions go."""
        await self._stage.release([self.source(tp) for tp in tps])
        for tp in tps:
            self._taken.pop(tp, None)

    async def tick(self) -> None:
        """The stage's tick."""
        async with self._app.turn:
            await self._stage.tick()

    async def beat(self) -> None:
        """Health to the broker, the broker's time to the stage.

        In this order: the broker's time, then the ends of the logs. So a partition that has been taken to its end holds
        nothing older than that time that has not been taken.
        """
        time = await self._heart.beat(self._health(), dict(self._stage.counts))
        self._ends = await self._app.end_offsets(list(self._taken)) if self._taken else {}
        async with self._app.turn:
            for tp, end in self._ends.items():
                if self._taken.get(tp) == end:
                    self._stage.reach(self.source(tp), time)
            await self._stage.beat()

    def _health(self) -> list[PartitionHealth]:
        health = []
        for tp, position in sorted(self._taken.items()):
            source = self.source(tp)
            lag = max(0, self._ends.get(tp, position) - position)
            health.append(PartitionHealth(*source, position, lag, self._stage.clock(source)))
        return health

    async def stop(self) -> None:
        """Disconnect the stage."""
        await self._stage.stop()


def create_worker(stage: Stage, settings: Settings) -> App:
    """The stage's Faust app, in the stage's consumer group."""
    app = create_app(
        settings.group(stage.name), settings.servers(), broker_credentials=settings.faust_broker_credentials()
    )
    worker = Worker(stage, settings, app)
    app.fetch_min_bytes, app.fetch_wait_ms = stage.fetch_min_bytes, stage.fetch_wait_ms
    app.prepare, app.finish = worker.start, worker.stop
    app.start_position, app.begin, app.release = worker.start_position, worker.begin, worker.release
    app.each_slice([settings.topic(name) for name in stage.topics], worker.take)
    app.regularly(stage.tick_seconds, worker.tick)
    app.regularly(INTERVAL, worker.beat)
    return app
