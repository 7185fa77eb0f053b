"""A world: an experiment whose exposures and events went through the pure stages, and into an archive."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.identity.identities import Identities
from pipeline.stages.gathering import Gathering
from pipeline.storage.archive import Archive
from schemas.catalog import Breakdown, Flag, Goal, Metric, Step, Variant
from schemas.duration import DAY_MS, HOUR_MS
from schemas.records import Records
from schemas.source import FieldMap, ForeignSource
from schemas.topics import EVENTS, EXPOSURES, IDENTITIES, UNITS

HORIZON = 3_600_000
PARTITIONS = 4
METRICS = (
    Metric(key="buyers", owner="shop", type="conversion", event="buy", window="1d"),
    Metric(key="spent", owner="shop", type="sum", event="buy", property="price", window="12h", scale=6),
    Metric(key="views", owner="shop", type="count", event="view", window="none"),
    Metric(key="basket", owner="shop", type="funnel", steps=(Step(event="view"), Step(event="buy")), window="1d"),
    Metric(key="per-view", owner="shop", type="ratio", numerator="spent", denominator="views", window="12h"),
)
FLAG = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=tuple(Goal(metric=metric.key) for metric in METRICS),
    breakdowns=(Breakdown(property="country", values=("AT",)),),
)

SHOP = ForeignSource(
    key="shop",
    topic="shop",
    makes="event",
    map=FieldMap(
        event_type="what",
        user_id="who.id",
        time="at",
        user_properties="who.traits",
        event_properties={"price": "cart.total"},
        country="who.country",
    ),
)
AT_SHOP = "@shop"  # the topic of which nothing is ours


def history_of(started: int, flag: Flag = FLAG) -> History:
    """The experiment, running since then."""
    draft = apply_definition(None, flag, 1)
    history = History()
    for spec in (SHOP, *METRICS, draft):
        history.suppose(spec, started - 60_000)
    history.suppose(start(draft, 2, "salt"), started)
    return history


@dataclass
class World:
    """An archive below `directory` of what was sent; `messages` are the units messages, by partition."""

    directory: Path
    history: History
    flag: str = "button"
    messages: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    sent: list[dict[str, Any]] = field(default_factory=list)  # events

    def __post_init__(self) -> None:
        self._archive = Archive(self.directory, 60_000)
        self._gathering = Gathering(PARTITIONS, HORIZON, 3)
        self._ends = {EXPOSURES: 0, EVENTS: 0, AT_SHOP: 0}
        for topic in self._ends:
            self._gathering.begin((topic, 0), 0)
        self._identities = [Identities(number, HORIZON) for number in range(PARTITIONS)]
        self._telling = Gathering(PARTITIONS, HORIZON, PARTITIONS)
        for number in range(PARTITIONS):
            self._telling.begin((IDENTITIES, number), 0)

    @property
    def run(self) -> RunInForce:
        return self.history.newest.flags[self.flag].runs[-1]

    def send(self, topic: str, messages: list[dict[str, Any]], append_times: list[int]) -> None:
        """Send these to a topic, and to the archive; `flush` has them reach `units`."""
        self.sent += [] if topic == EXPOSURES else messages
        values = [msgspec.json.encode(of_shop(each) if topic == AT_SHOP else each) for each in messages]
        length = np.array([*map(len, values)], np.int64)
        begin = self._ends[topic]
        self._ends[topic] = begin + len(values)
        records = Records(
            topic=topic,
            partition=0,
            begin=begin,
            end=begin + len(values),
            offset=np.arange(begin, begin + len(values)),
            append_time=np.array(append_times, np.int64),
            start=np.cumsum(length) - length,
            length=length,
            data=memoryview(b"".join(values)),
        )
        self._archive.append(records)
        for assigned in assign(records, self.history, HORIZON, HORIZON):
            self._gathering.add((topic, 0), assigned)

    def flush(self, now: int) -> None:
        """The stages have reached this time: what was sent is on `units`, and archived."""
        for topic in self._ends:
            self._gathering.reach((topic, 0), now, self.history.newest.offset)
        self._tell(now, self._gathering.cut()[1])
        if self.history.newest.pairs:
            for people, message in zip(self._identities, self._gathering.cut_identities(), strict=True):
                offset = people.offset
                self._keep(IDENTITIES, people.partition, offset, message, now)
                said = people.fold(offset, message, self.history.at_offset)
                assert said is not None
                self._telling.add((IDENTITIES, people.partition), said)
            self._tell(now, self._telling.cut()[1])
        for topic in self._ends:
            self._archive.advance(topic, 0, now + 60_000)
        for number in range(PARTITIONS):
            self._archive.advance(UNITS, number, now + 60_000)
            self._archive.advance(IDENTITIES, number, now + 60_000)
        self._archive.compact()

    def _tell(self, now: int, messages: list[bytes]) -> None:
        for number, message in enumerate(messages):
            self.tell(now, number, message)

    def tell(self, now: int, number: int, message: bytes) -> None:
        """A message stands on a partition of `units`, and in the archive."""
        self._keep(UNITS, number, len(self.messages[number]), message, now)
        self.messages[number].append(message)

    def _keep(self, topic: str, number: int, offset: int, message: bytes, now: int) -> None:
        one = np.array([0], np.int64)
        self._archive.append(
            Records(
                topic,
                number,
                offset,
                offset + 1,
                one + offset,
                one + now,
                one,
                one + len(message),
                memoryview(message),
            )
        )

    def compact(self) -> None:
        """As the stage does from time to time."""
        self._archive.compact()


def of_shop(event: dict[str, Any]) -> dict[str, Any]:
    """An event in the shop's own shape."""
    who = {"id": event["user_id"], "traits": event["user_properties"], "country": event["country"]}
    return {
        "what": event["event_type"],
        "at": event["time"],
        "who": who,
        "cart": {"total": event["event_properties"]["price"]},
    }


def live(world: World, started: int, hours: int, units: int = 200) -> None:
    """Hours of an experiment: half of the units are exposed in each hour at random, most of them look, few buy.

    Every second event comes by the topic of the shop.
    """
    random = np.random.default_rng(11)
    for hour in range(hours):
        begin = started + 2_000 + hour * HOUR_MS
        who = random.permutation(units)[: units // 10].tolist()
        times = sorted(random.integers(begin, begin + HOUR_MS // 2, len(who)).tolist())
        exposures = [
            {
                "flag_key": "button",
                "variant": "treatment" if unit % 2 else "control",
                "user_id": f"u{unit}",
                "time": time,
                "user_properties": {"plan": "pro" if unit % 5 == 0 else "free"},
                "country": "AT" if unit % 3 == 0 else "CH",
            }
            for unit, time in zip(who, times, strict=True)
        ]
        world.send(EXPOSURES, exposures, times)
        doers = random.integers(0, units, units // 3).tolist()
        moments = sorted(random.integers(begin, begin + HOUR_MS // 2, len(doers)).tolist())
        events = [
            {
                "event_type": "buy" if random.random() < 0.3 else "view",
                "user_id": f"u{unit}",
                "time": moment,
                "country": "AT" if unit % 3 == 0 else "CH",
                "user_properties": {"plan": "pro" if unit % 5 == 0 else "free"},
                "event_properties": {"price": int(random.integers(1, 90))},
            }
            for unit, moment in zip(doers, moments, strict=True)
        ]
        for begun, topic in enumerate((EVENTS, AT_SHOP)):
            world.send(topic, events[begun::2], moments[begun::2])
        world.flush(begin + HOUR_MS - 2_000)


def world_of(directory: Path, days: int = 2) -> tuple[World, int]:
    """Days of it until about now, and when it started (ms UTC)."""
    started = time.time_ns() // 1_000_000 - days * DAY_MS
    world = World(directory, history_of(started))
    live(world, started, hours=24 * days)
    world.compact()
    return world, started
