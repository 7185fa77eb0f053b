"""Worker: one process that runs one stage as a Faust app."""

import asyncio
import os
import uuid
from contextlib import suppress
from functools import partial
from time import monotonic

import msgspec
from aiokafka.errors import KafkaError
from faust.types import TP

from evaluation.catalog.logs import LogsInForce
from pipeline.kafka import topics
from pipeline.kafka.clients import faust_broker_credentials
from pipeline.kafka.columnar.app import App, Quiet, create_app, run
from pipeline.kafka.columnar.hooks import LogExtent
from pipeline.kafka.connection import attended, explain
from pipeline.kafka.logs import (
    GO_ON,
    ClusterTopics,
    CommittedLogs,
    LogError,
    LogPlace,
    LogWatch,
    first,
    is_committed_here,
    require,
    require_held,
)
from pipeline.kernel_cache import spare_linalg, tell_when_slow
from pipeline.listening import HOME, address
from pipeline.registry.protocol import RegistryError
from pipeline.settings import Settings
from pipeline.stages import stage_class
from pipeline.stages.foreign import ForeignTopics
from pipeline.stages.heartbeat import INTERVAL, QUIET_INTERVAL, Heartbeat
from pipeline.stages.held import AGAIN_SECONDS, HeldSlices
from pipeline.stages.liveness import Liveness, answer
from pipeline.stages.stage import Stage
from pipeline.storage.readers import admit
from schemas.health import PartitionHealth
from schemas.records import Records
from schemas.topics import CATALOG, MARK, SourcePartition

WATCH_SECONDS = 5.0
LOOK_SECONDS = 0.5  # after which a source is noticed
DONE_SECONDS = 2.0  # after which nothing is left to do of what has come
QUIET_TICK_SECONDS = 1.0
PATIENCE_SECONDS = 2.0  # within which a broker says where a log ends


def run_worker(name: str, settings: Settings, member: str | None = None) -> None:
    """Run a stage until SIGTERM (exit code 0) or an error (exit code 1). Does not return.

    `member`: it goes on with the partitions of a worker of the same name that has ended, without waiting until the
    group takes that one for dead. Raises PeekproofError where the cluster's topics don't fit.
    """
    spare_linalg()
    tell_when_slow()
    try:
        admit(settings)
        topics.require(settings)
        stage = stage_class(name)(settings)
    except Exception as error:
        asyncio.run(Heartbeat(settings, name).end(error))
        raise
    os.nice(stage.niceness)
    liveness = Liveness(settings)
    if settings.health_port is not None:
        port = answer(liveness, settings.health_port)
        print(f"this worker tells how it is at {address(HOME, port)}/healthz and /readyz", flush=True)
    liveness.watch()
    run(create_worker(stage, settings, liveness, member))


class Worker:
    """Drives a stage: gives it the group's partitions, the slices, the broker's clock, and a regular tick."""

    def __init__(self, stage: Stage, settings: Settings, app: App, liveness: Liveness) -> None:
        self._stage = stage
        self._liveness = liveness
        self._app = app
        self._names = {settings.topic(name): name for name in stage.topics}
        self._foreign = ForeignTopics(stage, settings)
        self._held = HeldSlices(app)
        self._taken: dict[TP, int] = {}  # up to where each partition was taken
        self._ends: dict[TP, int] = {}  # where the logs ended at the last beat
        self._settings = settings
        self._heart = Heartbeat(settings, stage.name)
        self._watch = LogWatch(settings)
        self._next_look = 0.0
        self._logs: LogsInForce | None = None  # as they stood when the worker started
        self._found = ClusterTopics("", {})
        stage.durable = lambda source, offset: app.durable(self._tp(source), offset - self._base(source))

    def source(self, tp: TP) -> SourcePartition:
        """The partition without the installation's prefix."""
        return self._names.get(tp.topic, MARK + tp.topic), tp.partition

    def _tp(self, source: SourcePartition) -> TP:
        return TP(self._settings.topic(source[0]), source[1])

    def _base(self, source: SourcePartition) -> int:
        """What is added to Kafka's offsets, so that they are the installation's."""
        logs = self._logs_of(source[0])
        return logs.base(*source) if logs else 0

    def _logs_of(self, topic: str) -> LogsInForce | None:
        return self._stage.logs if topic.startswith(MARK) else self._logs

    async def start(self) -> None:
        """Connect the stage, and see whether the logs are those that its state belongs to.

        Raises LogError where one was made anew, and UnreachableError when the brokers go away.
        """
        try:
            await self._start()
        except Exception as error:
            await self._heart.end(error)
            raise

    async def _start(self) -> None:
        async with attended(self._settings):
            await self._stage.start()
            self._found = await self._watch.find()
        self._logs = self._stage.logs
        if not self._stage.follows_catalog:
            await self._stage.catalog.stop()
        require(self._settings, self._logs, self._found)
        await self._stage.belong(self._found)

    def said(self, topic: str) -> str:
        """What is committed beside the offsets of a topic."""
        name, _ = self.source(TP(topic, 0))
        logs = CommittedLogs(self._ids.get(name, ""), self._ids.get(CATALOG, ""))
        return msgspec.json.encode(logs).decode()

    @property
    def _ids(self) -> dict[str, str]:
        return self._foreign.ids | self._found.topics

    async def start_position(self, tp: TP, log: LogExtent) -> int:
        """The stage's choice, or behind an accepted gap. Raises LogError where the log doesn't hold what comes next."""
        source = self.source(tp)
        base, logs = self._base(source), self._logs_of(source[0])
        first_read = begin = log.begin + base
        if (reading := self._foreign.read.get(source[0])) is not None and not base:  # else all of it came since
            at = await self._app.offset_at(tp, reading.since)
            first_read = (log.end if at is None else max(at, log.begin)) + base
        position = await self._stage.start_position(source, first_read)
        if position is None:
            found = ClusterTopics(self._found.cluster, self._ids)
            is_ours = is_committed_here(self._settings, logs, found, source[0], log.said)
            position = first_read if log.committed is None or not is_ours else log.committed + base
        if logs and (gap := logs.gap_at(self._stage.name, *source, position)):
            await self._stage.skip(gap, gap.end)
            position = gap.end
        try:
            require_held(self._settings, self._stage.name, LogPlace(*source, position, begin, log.end + base))
        except LogError as error:
            if source[0] not in self._foreign.read:
                raise
            self._foreign.leave(source, position, str(error))
            return max(log.begin, log.end)  # the one may be of the log before
        return position - base

    def begin(self, tp: TP, offset: int) -> None:
        """A partition is this worker's, from this offset on."""
        source = self.source(tp)
        if source in self._foreign.left:
            return
        self._taken[tp] = offset
        self._stage.begin(source, offset + self._base(source))

    async def take(self, tp: TP, records: Records) -> None:
        """One slice for the stage."""
        if tp not in self._taken:
            return  # its topic is left in a moment
        if not self._held.takes(tp, records):
            return
        try:
            await self._take(tp, records)
        except RegistryError as error:
            self._held.hold(tp, records, error)

    async def _take(self, tp: TP, records: Records) -> None:
        source = self.source(tp)
        await self._stage.take(source, records.moved(source[0], self._base(source)))
        self._taken[tp] = records.end

    def lost(self, tp: TP) -> bool:
        """The log doesn't hold what comes next: whether it is begun anew, since it is not ours."""
        return self._foreign.doubt(self.source(tp)[0])

    async def take_held(self) -> None:
        """Take what waits for somebody outside, as far as that is there."""
        async with self._app.turn:
            await self._held.take(self._take)

    async def release(self, tps: set[TP]) -> None:
        """Partitions go."""
        await self._stage.release([self.source(tp) for tp in tps if tp in self._taken])
        for tp in tps:
            self._taken.pop(tp, None)
            self._held.forget(tp)

    async def tick(self) -> None:
        """The stage's tick."""
        async with self._app.turn:
            await self._stage.tick()
        self._liveness.ended("tick")

    async def beat(self) -> None:
        """Health to the broker, the broker's time to the stage.

        In this order: the broker's time, then the ends of the logs. So a partition that has been taken to its end or
        beyond, as it is where records come all the time, holds nothing older than that time that has not been taken.
        """
        waiting = self._foreign.waiting | {self.source(tp)[0]: why for tp, why in self._held.why.items()}
        counts, recounts = dict(self._stage.counts), self._stage.recounts()
        time = await self._heart.beat(self._stage.producer, self._health(), counts, waiting, recounts)
        taken = dict(self._taken)
        self._ends = await self._end_offsets(list(taken)) if taken else {}
        async with self._app.turn:
            for tp, end in self._ends.items():
                if taken.get(tp, end) <= end:
                    if self._taken.get(tp, -1) >= end:
                        self._stage.reach(self.source(tp), time)
                elif not self.lost(tp):
                    raise LogError(
                        f"{self._stage.name}: {tp.topic}/{tp.partition} was read up to offset {taken[tp]}, but its "
                        f"log ends at {end}: its end was lost, or the topic was made anew. {GO_ON}"
                    )
            await self._stage.beat(time)
        self._liveness.reached(
            {
                self.source(tp): (position, self._ends.get(tp, 0))
                for tp, position in self._taken.items()
                if tp not in self._held.why
            }
        )
        self._liveness.ended("heartbeat")

    async def _end_offsets(self, tps: list[TP]) -> dict[TP, int]:
        """Of topics that are not ours, for which nobody waits long, as far as they are known."""
        foreign = [tp for tp in tps if tp.topic not in self._names]
        ends = await self._app.end_offsets([tp for tp in tps if tp.topic in self._names])
        for topic in {tp.topic for tp in foreign}:
            with suppress(KafkaError):
                ends |= await self._app.end_offsets([tp for tp in foreign if tp.topic == topic], PATIENCE_SECONDS)
        return ends

    def _health(self) -> list[PartitionHealth]:
        health = []
        for tp, position in sorted(self._taken.items()):
            source = self.source(tp)
            lag = max(0, self._ends.get(tp, position) - position)
            health.append(PartitionHealth(*source, position, lag, self._stage.watermark(source)))
        return health

    async def watch(self) -> None:
        """Look at the topics now and then, and at once where others are to be read.

        Raises LogError where one of ours was made anew meanwhile; brokers that are away are none of its business.
        """
        from kafka.errors import KafkaError as ClientError  # noqa: PLC0415 (slow to import)

        wanted = self._stage.readings()
        if monotonic() < self._next_look and not self._foreign.asks(wanted):
            return
        try:
            found, faults = await self._watch.look(wanted)
        except (ClientError, OSError):
            return
        self._next_look = monotonic() + WATCH_SECONDS
        was = LogsInForce(first(self._found), 0, 0)
        require(self._settings, was, found)
        if self._stage.reads_sources:
            self._stage.find(found)
            if self._foreign.take_up(wanted, found, faults):
                topic = self._settings.topic
                keyed = map(topic, self._foreign.keyed)
                await self._app.read([*self._names, *map(topic, self._foreign.read)], keyed)

    async def stop(self) -> None:
        """Say that the worker ends, and why; disconnect the stage."""
        await self._heart.end(self._app.crash_reason)
        self._watch.close()
        await self._stage.stop()


def create_worker(stage: Stage, settings: Settings, liveness: Liveness, member: str | None = None) -> App:
    """The stage's Faust app, in the stage's consumer group; of a stage that is whole, in a group of this worker's own.

    The workers of one group share the partitions, so two that keep them in different directories would have parts.
    """
    group, seldom = settings.group(stage.name), dict[str, float]()
    if stage.is_whole:
        group += f"-{uuid.uuid4().hex}"
        seldom = {"broker_heartbeat_interval": 3.0, "broker_commit_interval": 5.0}  # nobody joins, nothing is kept
    app = create_app(
        group,
        settings.servers(),
        broker_credentials=faust_broker_credentials(settings),
        consumer_group_instance_id=member,
        **seldom,
    )
    app.explain = partial(explain, settings)
    app.keeps_offsets = not stage.is_whole
    worker = Worker(stage, settings, app, liveness)
    app.fetch_min_bytes, app.fetch_wait_ms = stage.fetch_min_bytes, stage.fetch_wait_ms
    stage.heard = app.came
    app.prepare, app.finish = worker.start, worker.stop
    app.start_position, app.begin, app.release = worker.start_position, worker.begin, worker.release
    app.commit_says, app.lost = worker.said, worker.lost
    app.each_slice([settings.topic(name) for name in stage.topics], worker.take)
    app.regularly(stage.tick_seconds, worker.tick, Quiet(DONE_SECONDS, max(stage.tick_seconds, QUIET_TICK_SECONDS)))
    app.regularly(INTERVAL, worker.beat, Quiet(stage.quiet_after, QUIET_INTERVAL))
    if stage.reads_sources:
        app.regularly(AGAIN_SECONDS, worker.take_held)
    app.regularly(LOOK_SECONDS if stage.reads_sources else WATCH_SECONDS, worker.watch)
    return app
