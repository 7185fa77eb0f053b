"""Significance: is the difference real yet?

Keeps the newest aggregate of every units partition, and makes a look of each run when there is news. It continues from
its own last word on `results`; a look there that it did not write means that two workers decide about one run, and it
stops.
"""

import asyncio
import zlib
from collections.abc import Iterable
from math import inf
from time import monotonic
from typing import ClassVar, NamedTuple

from aiokafka import ConsumerRecord

from evaluation.catalog.in_force import Catalog, RunInForce
from evaluation.significance.look import decode_look, encode_look, has_news, look
from pipeline.errors import PeekproofError
from pipeline.kafka.bookmark import BookmarkWriter, bookmark, newest_looks
from pipeline.kafka.follower import Follower
from pipeline.settings import Settings
from pipeline.stages.stage import Stage
from schemas.aggregate import Aggregate, AggregateHead
from schemas.decoding import NoMessageError, decode
from schemas.look import Look, LookHead, RunKey
from schemas.records import Records
from schemas.topics import AGGREGATES, RESULTS, UNITS, SourcePartition, topics

SHORTEST_PAUSE = 0.55  # seconds from one computation of a run to the next, a little less than aggregates take to come
LONGEST_SILENCE = 2.0  # seconds without a look while there is news
BOOKMARK_SECONDS = 30.0  # from one bookmark of `results` to the next


class _Newest(NamedTuple):
    """The newest aggregate of one run and units partition, and where it stands on the topic."""

    head: AggregateHead
    value: bytes
    partition: int
    offset: int


class SignificanceStage(Stage):
    """Aggregates in; looks out."""

    name: ClassVar[str] = "significance"
    topics: ClassVar[tuple[str, ...]] = (AGGREGATES,)
    tick_seconds: ClassVar[float] = 0.05

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._results = Follower(settings, RESULTS, self._read_look, self.aside)
        # By partition of `aggregates`, run and units partition: the newest, decoded when a look is made of it.
        self._aggregates: dict[int, dict[RunKey, dict[int, _Newest]]] = {}
        self._news: set[RunKey] = set()
        self._counted: set[RunKey] = set()  # of which not only clocks are new
        self._looks: dict[RunKey, tuple[LookHead, bytes]] = {}  # the last one that stands on `results`,
        self._stand: dict[RunKey, tuple[int, int]] = {}  # and where: partition and offset
        self._bookmarks = BookmarkWriter(settings)
        self._kept = 0.0  # when (`monotonic`)
        self._sent: dict[RunKey, tuple[int, bytes]] = {}  # the number and the look that were sent last
        self._computed: dict[RunKey, float] = {}  # when last (`monotonic`), as is `_published`
        self._published: dict[RunKey, float] = {}
        partitions = {topic.name: topic.partitions for topic in topics(settings.units_partitions)}
        self._places, self._aggregate_places = partitions[RESULTS], partitions[AGGREGATES]

    async def start(self) -> None:
        """Connect; read the catalog, and every run's last look."""
        await super().start()
        begins, found = await newest_looks(self.settings)
        for record in found:
            with self.aside.unless_ours(RESULTS, record.partition, record.offset):
                self._read_look(record)
        await self._results.start(begins)

    async def beat(self, time: int) -> None:
        """Now and then, keep where the newest looks stand."""
        del time
        if monotonic() - self._kept > BOOKMARK_SECONDS:
            self._kept = monotonic()
            await self._keep_bookmarks()

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """From the beginning: the topic is compacted to the newest aggregate of each key."""
        del source
        return earliest

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Nothing is known of the runs of this partition yet."""
        del offset
        self._aggregates[source[1]] = {}

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Keep the newest aggregate of each run and units partition."""
        await self.catalog.caught_up(records.received)
        runs = self._aggregates[source[1]]
        for row in range(len(records)):
            offset, value = int(records.offset[row]), records.value(row)
            with self.aside.unless_ours(AGGREGATES, source[1], offset):
                head = decode(value, AggregateHead)
                run = (head.flag, head.run)
                if head.partition >= self.settings.units_partitions:
                    raise NoMessageError(f"there is no partition {head.partition} of {UNITS}")
                if (place := zlib.crc32(head.flag.encode()) % self._aggregate_places) != source[1]:
                    raise NoMessageError(f"what is said of '{head.flag}' stands in partition {place}")
                if _run_in(self.catalog.history.at_offset(head.catalog), run) is None:
                    raise NoMessageError(f"the catalog has no run '{run[1]}' of '{run[0]}'")
                known = runs.setdefault(run, {}).get(head.partition)
                if known is None or head.offset > known.head.offset:
                    runs[run][head.partition] = _Newest(head, value or b"", source[1], offset)
                    self._news.add(run)
                    if known is None or _numbers(head) != _numbers(known.head):
                        self._counted.add(run)
        self.durable(source, records.end)
        self.count("aggregates", len(records))

    async def tick(self) -> None:
        """Make a look of every run that has news, unless one was computed just before; of clocks, when nothing was
        published for long.
        """
        now = monotonic()
        due = {
            run: aggregates
            for runs in self._aggregates.values()
            for run, aggregates in runs.items()
            if run in self._news
            and len(aggregates) == self.settings.units_partitions
            and len({each.head.generation for each in aggregates.values()}) == 1  # all have come along with a recount
            and now - self._computed.get(run, -inf) >= SHORTEST_PAUSE
            and (run in self._counted or now - self._published.get(run, -inf) >= LONGEST_SILENCE)
        }
        if not due:
            return
        await asyncio.gather(self.catalog.caught_up(), self._results.caught_up())
        made = {}
        for run, aggregates in sorted(due.items()):
            self._computed[run] = now
            self._counted.discard(run)
            head, value = self._looks.get(run, (None, b""))
            if head and head.final and all(each.head.generation == head.generation for each in aggregates.values()):
                self._news.discard(run)
            elif head is None or not _is_behind((each.head for each in aggregates.values()), head):
                decoded = self._decoded(aggregates)
                if len(decoded) < self.settings.units_partitions:
                    continue  # until others replace what was set aside
                last = _last(value) if head else None
                newest = self._look_at(run, decoded, last)
                silent = now - self._published.get(run, -inf) >= LONGEST_SILENCE
                if has_news(newest, last, silent):
                    made[run] = newest
                elif silent:
                    self._news.discard(run)  # nothing differs, until another aggregate comes
        await self._publish(made)

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Forget the runs of these partitions; another worker reads them from the beginning."""
        for _, number in sources:
            for run in self._aggregates.pop(number, {}):
                self._sent.pop(run, None)

    async def stop(self) -> None:
        """Disconnect."""
        await self._keep_bookmarks()
        await self._bookmarks.stop()
        await self._results.stop()
        await super().stop()

    async def _keep_bookmarks(self) -> None:
        stand = self._stand.values()
        await self._bookmarks.keep(
            {
                number: bookmark(position, (offset for place, offset in stand if place == number))
                for number, position in self._results.positions.items()
            }
        )

    def _decoded(self, aggregates: dict[int, _Newest]) -> list[Aggregate]:
        """The aggregates; what is none is set aside, and forgotten."""
        decoded = []
        for number, newest in [*aggregates.items()]:
            with self.aside.unless_ours(AGGREGATES, newest.partition, newest.offset):
                decoded.append(decode(newest.value, Aggregate))
                continue
            del aggregates[number]
        return decoded

    def _look_at(self, run: RunKey, aggregates: list[Aggregate], last: Look | None) -> Look:
        catalog = self.catalog.history.at_offset(max(aggregate.catalog for aggregate in aggregates))
        of_run = _run_in(catalog, run)
        assert of_run is not None, "every aggregate was taken under a catalog that has its run"
        return look(of_run, aggregates, last, catalog.logs)

    async def _publish(self, made: dict[RunKey, Look]) -> None:
        messages = []
        for run, newest in made.items():
            key = f"{run[0]}/{run[1]}".encode()
            value = encode_look(newest)
            self._sent[run] = newest.look, value
            messages.append((RESULTS, key, value, zlib.crc32(key) % self._places))
        await self.send_all(messages)
        for run in made:
            self._published[run] = self._computed[run]
            self._news.discard(run)
            self.count("looks", 1)

    def _read_look(self, record: ConsumerRecord) -> None:
        """A look as every reader takes it (see schemas/look.py); what this worker sent, too, comes from there."""
        head = decode(record.value, LookHead)
        run = (head.experiment, head.run)
        number, value = self._sent.get(run, (head.look, record.value))
        if head.look >= number and record.value != value:
            raise PeekproofError(
                f"look {head.look} of {run[0]}/{run[1]} on `results` was written by another worker; this one "
                "stops, and starts again from what stands there. One consumer group decides under one prefix"
            )
        if run not in self._looks or head.look > self._looks[run][0].look:
            self._looks[run] = head, record.value
            self._stand[run] = record.partition, record.offset


def _is_behind(aggregates: Iterable[AggregateHead], last: LookHead) -> bool:
    """Whether some are older than what the last look covers: of a topic that is not read to its end, or sent anew."""
    return any(aggregate.offset < last.offsets.get(str(aggregate.partition), 0) for aggregate in aggregates)


def _numbers(head: AggregateHead) -> tuple[object, ...]:
    """What an aggregate says beside how far it is."""
    return head.generation, head.catalog, head.arms, head.sums, head.metrics


def _run_in(catalog: Catalog, run: RunKey) -> RunInForce | None:
    """The run as the catalog has it; None where it has none."""
    runs = catalog.flags[run[0]].runs if run[0] in catalog.flags else ()
    return next((known for known in runs if known.key == run[1]), None)


def _last(value: bytes) -> Look:
    """The look from which a run goes on."""
    try:
        return decode_look(value)
    except NoMessageError as error:
        head = decode(value, LookHead)
        raise PeekproofError(
            f"look {head.look} of {head.experiment}/{head.run} on `results` cannot be read, so the run cannot go on "
            f"from it: {error}; go on with the version that wrote it"
        ) from error
