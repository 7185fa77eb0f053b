"""Tail: exposures and events as they come, of one unit or of all. They are read while somebody watches, and only then.

One reader serves all who watch. It takes the topics by columns: of what is not asked for no object is made. Topics of
sources are read beside ours, those that there are when somebody begins to watch and that can be read.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import numpy as np

from evaluation.assignment.foreign import named_by, readable
from evaluation.assignment.looking import carrying
from evaluation.catalog.history import History
from evaluation.catalog.reading import readings
from pipeline.kafka.follower import Follower
from pipeline.kafka.sample import faults_of
from pipeline.kafka.set_aside import SetAside
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from schemas.dead_letter import CONTENT_TYPE
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import EVENTS, EXPOSURES, MARK
from schemas.writer_schema import NO_SCHEMAS, Schemas

MOST_WAITING = 50  # messages of one who watches; older ones make room
MOST_OF_SLICE = 20  # of what one fetch brought, where all units are watched
LARGEST_SHOWN = 4_000  # bytes of a message
GATHERING_MS = 200


class TailMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it came, as JSON where only a schema explains it, or its beginning."""

    topic: str
    partition: int
    offset: int
    time: int
    value: str
    is_cut: bool


class TailTold(msgspec.Struct, frozen=True, kw_only=True):
    """Messages, the oldest first, and how many came between that are not shown."""

    messages: list[TailMessage]
    missed: int


class TailWatch:
    """What one who watches has not been told yet."""

    def __init__(self, unit: str | None) -> None:
        self.unit = unit
        self._messages: deque[TailMessage] = deque(maxlen=MOST_WAITING)
        self._came = 0
        self.arrived = asyncio.Event()

    def add(self, message: TailMessage) -> None:
        """One more."""
        self._messages.append(message)
        self.count(1)

    def count(self, number: int) -> None:
        """So many came."""
        self._came += number
        if number:
            self.arrived.set()

    def take(self) -> TailTold:
        """What came since."""
        self.arrived.clear()
        told = TailTold(messages=[*self._messages], missed=self._came - len(self._messages))
        self._messages.clear()
        self._came = 0
        return told


class Tail:
    """Reads `exposures`, `events` and the topics of the catalog's sources from their end on."""

    def __init__(self, settings: Settings, history: History, aside: SetAside) -> None:
        self._settings = settings
        self._history = history
        self._aside = aside
        self._schemas = KeptSchemas(settings)
        self._asking: set[asyncio.Task[None]] = set()
        self._watched: set[TailWatch] = set()
        self._followers: dict[str, Follower] = {}
        self._turn = asyncio.Lock()

    @property
    def failure(self) -> BaseException | None:
        """What ended the reading, if something did."""
        ours = [follower for topic, follower in self._followers.items() if not topic.startswith(MARK)]
        return next((follower.failure for follower in ours if follower.failure), None)

    @asynccontextmanager
    async def watch(self, unit: str | None) -> AsyncIterator[TailWatch]:
        """Messages of a unit, or of all, from now on."""
        watched = TailWatch(unit)
        self._watched.add(watched)
        try:
            async with self._turn:
                try:
                    if not self._followers:
                        self._followers = {topic: self._follower(topic) for topic in (EXPOSURES, EVENTS)}
                        await asyncio.gather(*(follower.start() for follower in self._followers.values()))
                    await self._follow_sources()
                except BaseException:
                    await self.stop()
                    raise
            yield watched
        finally:
            self._watched.discard(watched)
            async with self._turn:
                if not self._watched:
                    await self.stop()

    def end(self) -> None:
        """Wake everybody who watches."""
        for watched in self._watched:
            watched.arrived.set()

    async def stop(self) -> None:
        """Read no more."""
        followers, self._followers = self._followers, {}
        await asyncio.gather(*(follower.stop() for follower in followers.values()))

    async def _follow_sources(self) -> None:
        """Read the topics of the sources too, where they can be read: they are somebody else's."""
        read = readings(self._history, self._settings.horizon)
        if not (missing := read.keys() - self._followers.keys()):
            return
        faults = await faults_of(self._settings, missing)
        found = {topic: self._follower(topic, read[topic].has_keys) for topic in sorted(missing - faults.keys())}
        begun = await asyncio.gather(*(follower.start() for follower in found.values()), return_exceptions=True)
        self._followers |= {
            topic: follower for (topic, follower), failed in zip(found.items(), begun, strict=True) if not failed
        }

    def _follower(self, topic: str, has_keys: bool = False) -> Follower:
        return Follower(
            self._settings,
            topic,
            partial(self._read, topic),
            self._aside,
            from_end=True,
            columnar=True,
            has_keys=has_keys,
            gathering_ms=GATHERING_MS,
        )

    def _read(self, topic: str, records: Records) -> None:
        records = records.moved(topic, 0)
        if not topic.startswith(MARK):
            self._tell(records)
            return
        every = [source.definition for source in self._history.newest.sources.values()]
        sources = [source for source in every if MARK + source.topic == topic]
        if numbers := named_by(records, sources):
            asking = asyncio.create_task(self._tell_in_words(records, sources, numbers))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        else:
            self._tell(records, sources)

    async def _tell_in_words(self, records: Records, sources: list[ForeignSource], numbers: list[int]) -> None:
        """Of what only schemas explain, once a registry has said those that can be had."""
        self._tell(records, sources, await asyncio.to_thread(self._schemas.known, numbers))

    def _tell(self, records: Records, sources: Sequence[ForeignSource] = (), schemas: Schemas = NO_SCHEMAS) -> None:
        of_many = {row for row in records.headers if _is_of_many(records, row)}
        for watched in self._watched:
            if watched.unit is None:
                lines = _newest(records, of_many)
                watched.count(_number(records, of_many) - len(lines))
                if schemas:
                    lines = [(row, readable(records, row, sources[0], schemas) or b"") for row, _ in lines]
            elif sources:
                lines = [*carrying(records, sources, watched.unit, schemas)]
            else:
                lines = [each for each in _naming(records, of_many, watched.unit) if _is_of(each[1], watched.unit)]
            for row, line in lines:
                watched.add(_message(records, row, line))


Line = tuple[int, bytes]  # the row of a record, and a message that it holds


def _is_of_many(records: Records, row: int) -> bool:
    """Whether it holds a message in each of its lines."""
    kind = next((data for name, data in records.headers[row] if name.lower() == CONTENT_TYPE), b"")
    return b"ndjson" in kind


def _lines(records: Records, row: int, of_many: Collection[int]) -> list[bytes]:
    value = records.value(row) or b""
    return [line for line in value.split(b"\n") if line.strip()] if row in of_many else [value]


def _number(records: Records, of_many: Collection[int]) -> int:
    return len(records) - len(of_many) + sum(len(_lines(records, row, of_many)) for row in of_many)


def _newest(records: Records, of_many: Collection[int]) -> list[Line]:
    """The last messages, the oldest first."""
    found: list[Line] = []
    for row in reversed(range(len(records))):
        found += [(row, line) for line in reversed(_lines(records, row, of_many))]
        if len(found) >= MOST_OF_SLICE:
            break
    return found[MOST_OF_SLICE - 1 :: -1]


def _naming(records: Records, of_many: Collection[int], unit: str) -> list[Line]:
    """The messages in which the unit's name stands as a text, each once."""
    written = {msgspec.json.encode(unit), json.dumps(unit).encode()}
    found: dict[tuple[int, int], Line] = {}
    for match in re.finditer(b"|".join(map(re.escape, sorted(written))), records.data):
        row = int(np.searchsorted(records.start, match.start(), side="right")) - 1
        value, begin = records.value(row) or b"", 0
        if row in of_many:
            at = match.start() - int(records.start[row])
            begin, end = value.rfind(b"\n", 0, at) + 1, value.find(b"\n", at)
            value = value[begin : None if end < 0 else end]
        found[row, begin] = row, value
    return [*found.values()]


def _message(records: Records, row: int, value: bytes) -> TailMessage:
    return TailMessage(
        topic=records.topic,
        partition=records.partition,
        offset=int(records.offset[row]),
        time=int(records.append_time[row]),
        value=value[:LARGEST_SHOWN].decode("utf-8", "replace"),
        is_cut=len(value) > LARGEST_SHOWN,
    )


class _Who(msgspec.Struct):
    user_id: object = None
    device_id: object = None
    groups: object = None


def _is_of(value: bytes, unit: str) -> bool:
    try:
        who = msgspec.json.decode(value, type=_Who)
    except (msgspec.MsgspecError, RecursionError):
        return False
    groups = who.groups.values() if isinstance(who.groups, dict) else ()
    names = [who.user_id, who.device_id, *groups]
    return any(unit == each or (isinstance(each, list) and unit in each) for each in names)
