"""Traffic: sends what visitors say through Kafka, as any producer would, and measures what it produced and when.

    python -m pipeline.demo.traffic --seconds 60 --events-per-second 20000 [--seed 1] [--record FILE]

Runs as a process of its own. It reads the catalog as an SDK reads its flags, so experiments must have been started. It
ends after the time, or in order on SIGTERM or SIGINT; once a second, and at the end, it writes a `TrafficProgress` in
JSON to standard output.

With `--record` every acknowledged record is a line of FILE:

    {"topic":"events","partition":3,"offset":17,"append_time":1764000000000,"value":{…}}

The value is the original JSON object, null for a record without value, else the original bytes as Latin-1 text.
"""

import asyncio
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import click
import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from pipeline.catalog.topic import CatalogReader
from pipeline.demo import shop
from pipeline.demo.progress import Batch, TrafficProgress
from pipeline.demo.visitors import Chunk, Visitors
from pipeline.errors import PeekproofError
from pipeline.kafka.connection import connect
from pipeline.kafka.producer import KafkaRecord, batches, create_producer
from pipeline.settings import Settings
from schemas.topics import CATALOG

TICK = 0.05  # seconds between sendings
SLOW_MS = 1_000  # a sending that takes longer means that the machine is too slow: rather fewer visitors than late ones


class Traffic:
    """Sends chunks, in order for each key, and keeps account of what was acknowledged."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, record: IO[bytes] | None) -> None:
        self._producer = producer
        self._settings = settings
        self._record = record
        self._acknowledged: dict[str, int] = {}
        self._batches: list[Batch] = []
        self._waiting: set[asyncio.Task[None]] = set()

    async def send(self, chunk: Chunk) -> None:
        """Hand a chunk to the client: a batch for each partition, which the visitor's number chooses."""
        topic = self._settings.topic(chunk.topic)
        partition = chunk.visitor % len(await self._producer.partitions_for(topic))
        order = np.argsort(partition, kind="stable")
        partitions, first = np.unique(partition[order], return_index=True)
        for number, rows in zip(partitions.tolist(), np.split(order, first[1:]), strict=True):
            keys = [b"u%d" % visitor for visitor in chunk.visitor[rows].tolist()]
            values = [chunk.values[row] for row in rows.tolist()]
            records: list[KafkaRecord] = [(key, value, []) for key, value in zip(keys, values, strict=True)]
            for batch, its in batches(self._producer, records):
                produced = _now()
                appended = await self._producer.send_batch(batch, topic, partition=number)
                task = asyncio.create_task(self._account(chunk.topic, number, values[its], produced, appended))
                self._waiting.add(task)
                task.add_done_callback(self._settle)

    def check(self) -> None:
        """Raise the client's error if something was not acknowledged."""
        for task in self._waiting:
            if task.done():
                task.result()

    async def flush(self) -> None:
        """Wait until everything is acknowledged. Raises the client's error if something was not."""
        await asyncio.gather(*self._waiting)

    def progress(self) -> TrafficProgress:
        """What happened since the last progress."""
        batches, self._batches = self._batches, []
        return TrafficProgress(acknowledged=dict(self._acknowledged), batches=batches)

    async def _account(
        self,
        topic: str,
        partition: int,
        values: list[bytes | None],
        produced: int,
        appended: asyncio.Future[RecordMetadata],
    ) -> None:
        first = await appended
        self._acknowledged[topic] = self._acknowledged.get(topic, 0) + len(values)
        self._batches.append(Batch(produced, first.timestamp, len(values)))
        if self._record is not None:
            head = b'{"topic":"%s","partition":%d,"offset":%%d,"append_time":%d,"value":%%b}\n'
            line = head % (topic.encode(), partition, first.timestamp)
            self._record.write(b"".join(line % (first.offset + i, _json(value)) for i, value in enumerate(values)))

    def _settle(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:  # a failed one stays, for `flush` to raise
            self._waiting.discard(task)


def _now() -> int:
    """Wall time in ms UTC."""
    return time.time_ns() // 1_000_000


def _json(value: bytes | None) -> bytes:
    """The value if it is a JSON object, else a string of its bytes, or null."""
    if value is None:
        return b"null"
    try:
        msgspec.json.decode(value, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.encode(value.decode("latin-1"))
    return value


async def run(settings: Settings, seconds: float, events_per_second: float, seed: int, record: Path | None) -> None:
    """Send the traffic, report to standard output. Raises PeekproofError when no flag is running."""
    await connect(settings)
    catalog = CatalogReader(settings)
    await catalog.start()
    newest = catalog.history.newest
    flags = {key: flag for key, flag in newest.flags.items() if flag.status == "running"}
    orders = shop.topic_in(newest)
    await catalog.stop()
    if not flags:
        raise PeekproofError(
            f"no flag of the catalog '{settings.topic(CATALOG)}' is running, so there is nothing to visit; "
            "`peekproof apply` and `peekproof experiment start KEY` first"
        )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    def arriving(start: int) -> Visitors:
        rate, horizon = events_per_second, settings.horizon
        return Visitors(flags, seed=seed, start=start, records_per_second=rate, horizon_ms=horizon, orders=orders)

    arriving(_now()).until(_now())  # compiles the kernels, which must not delay the traffic
    start = _now()
    visitors = arriving(start)
    with ExitStack() as stack:
        producer = create_producer(settings)
        await producer.start()
        traffic = Traffic(settings, producer, stack.enter_context(record.open("wb")) if record else None)
        try:
            said = start
            reported = start
            while said < start + seconds * 1_000 and not stopping.is_set():
                now = _now()
                if now - said > SLOW_MS:
                    visitors.pause(now - said)
                said = min(now, start + round(seconds * 1_000))
                for chunk in visitors.until(said):
                    await traffic.send(chunk)
                traffic.check()
                if said - reported >= 1_000:
                    reported = said
                    _report(traffic.progress())
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), TICK)
            await traffic.flush()
        finally:
            await producer.stop()
    _report(traffic.progress())


def _report(progress: TrafficProgress) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
    sys.stdout.buffer.flush()


@click.command
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=60, show_default=True)
@click.option("--events-per-second", type=click.FloatRange(min=1), default=20_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write what was sent as NDJSON.")
def main(seconds: float, events_per_second: float, seed: int, record: Path | None) -> None:
    """Send the traffic of a small shop's visitors."""
    try:
        asyncio.run(run(Settings.read(), seconds, events_per_second, seed, record))
    except PeekproofError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
