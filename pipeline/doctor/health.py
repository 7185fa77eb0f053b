"""Health: what the workers said of themselves on the topic, and which of them speak now."""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.stages import STAGES
from schemas.decoding import NoMessageError, decode
from schemas.health import FRESH_MS, WorkerHealth

if TYPE_CHECKING:
    from kafka import KafkaConsumer

TAIL = 6_000  # records: ten workers' last ten minutes
LONG_TAIL = 60_000  # where a stage is not heard in those
LISTEN_SECONDS = 5.0  # a worker speaks every three, later where it is busy
LATELY_MS = 15_000


class Word(NamedTuple):
    """What a worker said, and when (ms UTC, the broker's)."""

    time: int
    health: WorkerHealth


class Heard(NamedTuple):
    """`newest` of each worker, and the last words of those that an error ended, oldest first, all since `since`.

    `alive` spoke while we listened, and `now` is the broker's time (both times ms UTC).
    """

    since: int
    now: int
    newest: dict[str, Word]
    falls: list[Word]
    alive: set[str]

    def of(self, stage: str) -> list[Word]:
        """The newest words of a stage's workers, the latest first."""
        words = [word for word in self.newest.values() if word.health.stage == stage]
        return sorted(words, key=lambda word: -word.time)

    def living(self, stage: str) -> list[Word]:
        """Of those that speak now."""
        return [word for word in self.of(stage) if word.health.name in self.alive]

    def silent(self, stage: str) -> list[Word]:
        """Of those that do not speak now and did not say that they end."""
        return [word for word in self.of(stage) if word.health.name not in self.alive and not word.health.ended]


def listen(consumer: "KafkaConsumer", place: Any) -> Heard:
    """Read the topic's last records, and wait until everybody who spoke lately speaks again, or long enough."""
    begin, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
    words: list[Word] = []
    for tail in (TAIL, LONG_TAIL):
        consumer.seek(place, max(begin, end - tail))
        words = []
        while consumer.position(place) < end:
            words += _words(consumer, place)
        if {word.health.stage for word in words} >= STAGES.keys() or end - tail <= begin:
            break
    newest = {word.health.name: word for word in words}
    last = max((word.time for word in words), default=0)
    awaited = {key for key, word in newest.items() if word.time > last - LATELY_MS and not word.health.ended}
    spoke: set[str] = set()
    deadline = time.monotonic() + LISTEN_SECONDS
    while awaited - spoke and time.monotonic() < deadline:
        news = _words(consumer, place)
        words += news
        spoke |= {word.health.name for word in news}
    newest |= {word.health.name: word for word in words}
    now = words[-1].time if spoke else time.time_ns() // 1_000_000
    alive = {
        key
        for key, word in newest.items()
        if not word.health.ended and (key in spoke or 0 <= now - word.time < FRESH_MS)
    }
    falls = [word for word in words if word.health.error is not None]
    return Heard(words[0].time if words else now, now, newest, falls, alive)


def _words(consumer: "KafkaConsumer", place: Any) -> list[Word]:
    words = []
    for record in consumer.poll(timeout_ms=200).get(place, ()):
        try:
            words.append(Word(record.timestamp, decode(record.value, WorkerHealth)))
        except NoMessageError:  # the workers that read it tell
            continue
    return words
