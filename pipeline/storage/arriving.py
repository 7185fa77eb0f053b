"""Arriving: what came from the topics and is not written yet. What was taken before is skipped."""

import threading
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.kafka.set_aside import SetAside
from schemas import topics
from schemas.dead_letter import from_record
from schemas.decoding import NoMessageError, decode
from schemas.health import WorkerHealth
from schemas.look import Look, RunKey
from schemas.notification import HandedOver, Notification
from schemas.records import Headers

ArrivedRecord = tuple[int, int, int, bytes | None]  # partition, offset, append time (ms UTC), value
LetterRecord = tuple[int, int, int, Headers, bytes | None]

DocumentRecord = tuple[int, int, bytes | None]  # offset, append time (ms UTC), value

VALUE_KEPT = 500  # bytes of a dead letter


@dataclass(frozen=True, slots=True)
class PublishedLook:
    """A look and when it was appended to the results topic (ms UTC)."""

    look: Look
    append_time: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker said of itself, and when (ms UTC)."""

    health: WorkerHealth
    append_time: int
    value: bytes


@dataclass(slots=True)
class Pending:
    """What there is to write, and the offsets that it reaches."""

    looks: list[PublishedLook] = field(default_factory=list)
    catalog: list[DocumentRecord] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    beats: dict[tuple[str, str], Beat] = field(default_factory=dict)
    notifications: dict[str, dict[str, Any]] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    ignored: int = 0

    def is_news(self, workers: Container[tuple[str, str]]) -> bool:
        """Whether it is more than how those workers are that are known."""
        others = any(worker not in workers for worker in self.beats)
        return bool(others or self.looks or self.catalog or self.dead_letters or self.notifications or self.deliveries)


class Arriving:
    """Records are added in one thread, and taken to be written in another."""

    def __init__(
        self,
        offsets: Mapping[tuple[str, int], int],
        looks: Mapping[RunKey, int],
        archived: Mapping[int, range],
        aside: SetAside,
    ) -> None:
        """`offsets`: the next ones to take, by topic and partition; `looks`: the number of each run's last one.

        `archived`: offsets of looks, by partition, that were taken from the archive.
        """
        self._archived = dict(archived)
        self._next = dict(offsets)
        self._last = dict(looks)
        self._aside = aside
        self._pending = Pending()
        self._adding = threading.Lock()

    def has_news(self, workers: Container[tuple[str, str]]) -> bool:
        """Whether more is to be written than how those workers are that are known."""
        with self._adding:
            return self._pending.is_news(workers)

    def add_looks(self, records: Iterable[ArrivedRecord]) -> None:
        """Records of `results`. One that is not newer than the last look of its run is ignored and counted.

        Of a store that was made anew, those that it has from the archive come a second time, behind older ones.
        """
        with self._adding:
            for partition, offset, append_time, value in records:
                if not self._is_new(topics.RESULTS, partition, offset):
                    continue
                archived = self._archived.get(partition, range(0))
                if offset in archived:
                    continue
                with self._aside.unless_ours(topics.RESULTS, partition, offset):
                    look = decode(value, Look)
                    run = (look.experiment, look.run)
                    if look.look <= self._last.get(run, 0):
                        self._pending.ignored += offset >= archived.stop
                    else:
                        self._last[run] = look.look
                        self._pending.looks.append(PublishedLook(look, append_time, value or b""))

    def add_catalog(self, records: Iterable[ArrivedRecord]) -> None:
        """Records of `catalog`."""
        with self._adding:
            for partition, offset, append_time, value in records:
                if self._is_new(topics.CATALOG, partition, offset):
                    self._pending.catalog.append((offset, append_time, value))

    def add_dead_letters(self, records: Iterable[LetterRecord]) -> None:
        """Records of `dead-letters`; each dead letter is kept once."""
        with self._adding:
            for partition, offset, append_time, headers, value in records:
                if self._is_new(topics.DEAD_LETTERS, partition, offset):
                    try:
                        dead_letter = from_record(headers, value)
                    except NoMessageError as error:  # a dead letter about itself
                        self._aside.add(topics.DEAD_LETTERS, partition, offset, str(error))
                        row = _dead_letter_row(topics.DEAD_LETTERS, partition, offset, None, append_time, value)
                        row |= {"source": None, "reason": "foreign record", "detail": str(error)}
                    else:
                        row = _dead_letter_row(
                            dead_letter.topic,
                            dead_letter.partition,
                            dead_letter.offset,
                            dead_letter.index,
                            dead_letter.append_time,
                            dead_letter.value,
                        )
                        row |= {name: getattr(dead_letter, name) for name in ("source", "reason", "detail")}
                    self._pending.dead_letters.append(row | {"rejected": append_time})

    def add_health(self, records: Iterable[ArrivedRecord]) -> None:
        """Records of `health`; the newest of each worker is kept."""
        with self._adding:
            for partition, offset, append_time, value in records:
                if self._is_new(topics.HEALTH, partition, offset):
                    with self._aside.unless_ours(topics.HEALTH, partition, offset):
                        health = decode(value, WorkerHealth)
                        self._pending.beats[health.stage, health.worker] = Beat(health, append_time, value or b"")

    def add_notifications(self, records: Iterable[ArrivedRecord]) -> None:
        """Records of `notifications`; of those with one id the first is kept."""
        with self._adding:
            for partition, offset, append_time, value in records:
                if self._is_new(topics.NOTIFICATIONS, partition, offset):
                    with self._aside.unless_ours(topics.NOTIFICATIONS, partition, offset):
                        found = decode(value, Notification)
                        row = msgspec.structs.asdict(found) | {"published": append_time}
                        row["numbers"] = msgspec.json.encode(found.numbers).decode()
                        self._pending.notifications.setdefault(found.id, row)

    def add_deliveries(self, records: Iterable[ArrivedRecord]) -> None:
        """Records of `deliveries`; the newest of each notification and place is kept."""
        with self._adding:
            for partition, offset, _, value in records:
                if self._is_new(topics.DELIVERIES, partition, offset):
                    with self._aside.unless_ours(topics.DELIVERIES, partition, offset):
                        found = decode(value, HandedOver)
                        self._pending.deliveries[found.id, found.place] = msgspec.structs.asdict(found)

    def take(self) -> Pending:
        """What was added since the last time."""
        with self._adding:
            pending, self._pending = self._pending, Pending()
        return pending

    def read_again(self, topic: str, partition: int, archived: range) -> None:
        """A partition of looks comes from its start: those at the offsets `archived` are here, but none before."""
        del self._next[topic, partition]
        self._archived[partition] = archived

    def _is_new(self, topic: str, partition: int, offset: int) -> bool:
        if offset < self._next.get((topic, partition), 0):
            return False
        self._next[topic, partition] = self._pending.offsets[topic, partition] = offset + 1
        return True


def _dead_letter_row(  # noqa: PLR0917
    topic: str, partition: int, offset: int, index: int | None, append_time: int, value: bytes | None
) -> dict[str, Any]:
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "index": index,
        "appended": append_time,
        "value": None if value is None else value[:VALUE_KEPT].decode("utf-8", "backslashreplace"),
        "bytes": None if value is None else len(value),
    }
