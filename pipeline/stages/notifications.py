"""Notifications: what is to be told now, and has it arrived?

Asks the pure question about once a second, and publishes what it says on `notifications`; hands over what stands there
to every place of its rule, and says on `deliveries` what became of each attempt. It keeps nothing of its own: what was
told already and what was handed over stands on these two topics. One worker is enough. Two find the same, and publish
it under the same ids, but places hear it twice.

A worker that is killed between a handover and its record hands it over again, under the same id: at least once.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from evaluation.notifications.plans import PlanSeen, plans_seen
from evaluation.notifications.runs import RunSeen, seen
from evaluation.notifications.telling import Situation, due
from evaluation.notifications.work import Work
from pipeline.kafka.bookmark import newest_looks
from pipeline.kafka.clients import IDLE_MS, aiokafka_arguments
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import partition_of
from pipeline.listening import base_url
from pipeline.notifications.attempts import Attempt, pause
from pipeline.notifications.lanes import HANDOVERS, Errand, Lane, Lanes, PlaceKey
from pipeline.notifications.sending import Sender
from pipeline.settings import Settings
from pipeline.stages.newest_looks import NewestLook, first_read, keep_newest, standing
from pipeline.stages.stage import Stage
from schemas.decoding import decode
from schemas.health import WorkerHealth
from schemas.look import RunKey
from schemas.notification import HandedOver, Notification, ToldKey, told_key
from schemas.records import Records
from schemas.topics import DEAD_LETTERS, DELIVERIES, HEALTH, NOTIFICATIONS, RESULTS, SourcePartition

HEARD_MS = 600_000  # of what workers said before this one started, enough to know who works
LATE_MS = 5_000  # after which looks that were not read, or workers that were not heard, may say otherwise
COUNT_MS = 5_000  # from one count of dead letters to the next
MOST_AT_ONCE = 4  # handovers to one place
END_SECONDS = 5.0  # that handovers under way have to end in

_log = logging.getLogger(__name__)


class NotificationsStage(Stage):
    """Results, catalog, health and dead letters in; notifications and what became of them out."""

    name: ClassVar[str] = "notifications"
    topics: ClassVar[tuple[str, ...]] = (RESULTS,)
    is_whole: ClassVar[bool] = True
    niceness: ClassVar[int] = 5
    tick_seconds: ClassVar[float] = 2.0
    fetch_wait_ms: ClassVar[int] = IDLE_MS  # a look is fetched at once

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._work = Work(0)  # since the first beat: this machine's clock may be another than the brokers'
        self._told: dict[ToldKey, Notification] = {}
        self._lanes = Lanes()
        self._running: dict[Lane, asyncio.Task[None]] = {}
        self._sender = Sender(base_url(settings))
        self._runs: dict[RunKey, RunSeen] = {}
        self._plans: dict[str, PlanSeen] = {}
        self._newest: dict[RunKey, NewestLook] = {}  # looks that `_runs` lacks
        self._begins: dict[int, int] = {}  # by partition of `results`: older looks that matter are known at the start
        self._reached: dict[SourcePartition, int] = {}  # up to when (ms UTC) `results` was read
        self._heard = 0  # up to when (ms UTC) the workers were
        self._dead_letters: dict[TopicPartition, int] = {}  # where they ended,
        self._counted = 0  # when that was asked (ms UTC)
        self._asking: AIOKafkaConsumer
        self._notifications = Follower(settings, NOTIFICATIONS, self._read_notification, self.aside)
        self._followers = (
            self._notifications,
            Follower(
                settings,
                HEALTH,
                self._read_health,
                self.aside,
                since=_now() - HEARD_MS,
                columnar=True,
                gathering_ms=IDLE_MS,
            ),
        )

    async def start(self) -> None:
        """Connect; read the catalog, what was told and handed over, and who works."""
        await super().start()
        await self._sender.__aenter__()
        self._asking = AIOKafkaConsumer(group_id=None, **aiokafka_arguments(self.settings))
        handed_over = Follower(self.settings, DELIVERIES, self._read_delivery, self.aside)
        await asyncio.gather(self._asking.start(), handed_over.start(), *(each.start() for each in self._followers))
        await handed_over.stop()  # whoever waits wakes seldom: what comes from now on is this worker's own
        self._begins, found = await newest_looks(self.settings)
        keep_newest(self._newest, standing(found), self.aside)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """The newest look of a run may be its last: from the bookmark on, or the beginning."""
        return first_read(self._begins, source, earliest, self.logs)

    def begin(self, source: SourcePartition, offset: int) -> None:
        """What stands on it may be old."""
        del offset
        self._reached[source] = 0

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Keep the newest look of each run."""
        keep_newest(self._newest, standing(records), self.aside)
        if len(records):
            self._reached[source] = max(self._reached[source], int(records.append_time[-1]))
        self.durable(source, records.end)

    def reach(self, source: SourcePartition, time: int) -> None:
        """It has been read to its end."""
        self._reached[source] = time

    async def beat(self, time: int) -> None:
        """Publish what is to be told now; hand over what waits."""
        if not self._work.watched:
            self._work.watched, self._work.now = time, max(self._work.now, time)
        rules = self.catalog.history.newest.notifications.values()
        is_current = bool(self._reached) and min(self._heard, *self._reached.values()) >= time - LATE_MS
        if is_current and any(rule.definition.enabled for rule in rules):
            await self._count_dead_letters(time)
            self._work.now = max(self._work.now, time)
            self._fold()
            if self._due():  # which takes no question to the brokers while there is nothing to tell
                await asyncio.gather(self.catalog.caught_up(), self._notifications.caught_up())
                await self._publish(self._due())
        await self._hand_over()

    async def tick(self) -> None:
        """Fail where what is followed cannot be."""
        for follower in self._followers:
            if follower.failure:
                raise follower.failure

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Nothing is kept of them."""
        for source in sources:
            self._reached.pop(source, None)

    async def stop(self) -> None:
        """Let handovers under way end, and be recorded; disconnect."""
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=END_SECONDS)
            for task in late:
                task.cancel()
        await self._sender.__aexit__()
        await asyncio.gather(self._asking.stop(), *(follower.stop() for follower in self._followers))
        await super().stop()

    def _due(self) -> list[Notification]:
        history = self.catalog.history
        self._plans = plans_seen(self._plans, history.newest, self._runs, self._work.now)
        return due(Situation(history=history, runs=self._runs, work=self._work, plans=self._plans), self._told)

    def _fold(self) -> None:
        newest, self._newest = self._newest, {}
        for run, each in newest.items():
            if look := each.read(self.aside):
                self._runs[run] = seen(self._runs.get(run), look, each.append_time)

    async def _publish(self, found: list[Notification]) -> None:
        topic = self.settings.topic(NOTIFICATIONS)
        partitions = len(await self.producer.partitions_for(topic))
        await self.send_all(
            (
                NOTIFICATIONS,
                "/".join(told_key(each)).encode(),
                msgspec.json.encode(each),
                partition_of(each.subject.encode(), partitions),
            )
            for each in found
        )
        for each in found:
            self._told[told_key(each)] = each
            self.count("notifications", 1)

    async def _count_dead_letters(self, time: int) -> None:
        """By the ends of their topic, unread."""
        if time < self._counted + COUNT_MS:
            return
        self._counted = time
        topic = self.settings.topic(DEAD_LETTERS)
        numbers = await self.producer.partitions_for(topic)
        ends = await self._asking.end_offsets([TopicPartition(topic, number) for number in numbers])
        if self._dead_letters:
            number = sum(end - self._dead_letters.get(place, 0) for place, end in ends.items())
            self._work.count_dead_letters(time, max(0, number))
        self._dead_letters = ends

    async def _hand_over(self) -> None:
        """Begin with what is due, and end where a handover could not be recorded."""
        for lane, task in [*self._running.items()]:
            if task.done():
                del self._running[lane]
                task.result()
        if self._lanes.has_arrivals:
            await self.catalog.caught_up()
            self.count(f"{HANDOVERS}due", self._lanes.line_up(self.catalog.history, _now()))
        busy = Counter[PlaceKey](lane.to for lane in self._running)
        for lane in self._lanes.busy():
            if lane not in self._running and busy[lane.to] < MOST_AT_ONCE and self._errand(lane):
                busy[lane.to] += 1
                self._running[lane] = asyncio.create_task(self._run(lane), name=f"hand over to {'/'.join(lane)}")

    def _errand(self, lane: Lane) -> Errand | None:
        return self._lanes.errand(lane, self.catalog.history, _now())

    async def _run(self, lane: Lane) -> None:
        """Hand over what is due in a lane, one after the other."""
        while errand := self._errand(lane):
            notification, place = errand.notification, errand.place
            if errand.refused:
                attempt = Attempt(error=errand.refused, is_last=True)
            else:
                attempt = await self._sender.send(notification, errand.rule, place)
            outcome = self._lanes.outcome(errand, attempt, _now())
            value, key = msgspec.json.encode(outcome), notification.id.encode()
            await self.producer.send_and_wait(self.settings.topic(DELIVERIES), value, key=key)
            self._lanes.learn(outcome)
            self._tell(outcome)

    def _tell(self, outcome: HandedOver) -> None:
        place = f"notification {outcome.id} to '{outcome.place}' of rule '{outcome.rule}'"
        if outcome.outcome == "delivered":
            self.count(f"{HANDOVERS}done", 1)
        elif outcome.outcome == "given up":
            self.count(f"{HANDOVERS}given up", 1)
            _log.error("%s is given up after %d attempts: %s", place, outcome.attempts, outcome.error)
        else:
            self.count(f"{HANDOVERS}failed", 1)
            again = pause(outcome.id, outcome.attempts) / 1_000
            _log.warning(
                "%s: attempt %d failed: %s; another follows in %.0f s at the earliest",
                place, outcome.attempts, outcome.error, again,
            )  # fmt: skip

    def _read_notification(self, record: ConsumerRecord) -> None:
        notification = decode(record.value, Notification)
        self._told[told_key(notification)] = notification
        self._lanes.read(notification, record.timestamp)

    def _read_delivery(self, record: ConsumerRecord) -> None:
        self._lanes.learn(decode(record.value, HandedOver))

    def _read_health(self, records: Records) -> None:
        self._heard = int(records.append_time[-1]) if len(records) else self._heard
        for row in range(len(records)):
            with self.aside.unless_ours(HEALTH, records.partition, int(records.offset[row])):
                self._work.hear(int(records.append_time[row]), decode(records.value(row), WorkerHealth))


def _now() -> int:
    return time.time_ns() // 1_000_000
