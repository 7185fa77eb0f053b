"""Judge: what came of a soak, beside SQL over what stands on the topics, and a replay of the archive.

The topics are read by a client of Kafka alone: none of our code stands between them and the queries.
"""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer

from pipeline.catalog.topic import read_catalog
from pipeline.demo.traffic import _json
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.settings import Settings
from schemas.topics import SOURCES
from tests.end_to_end import shop
from tests.oracle import Row, published

ALL_SETTLED = 1 << 60  # a clock, for the queries: of a final run everybody is settled
UNITS_N = (None, None)  # of a row of sums: the number of its units
COUNTS = ("exposures", "late exposures", "forced", "jumpers", "reassigned", "events", "late", "unusable", "duplicates")


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Records and units too few and too many; numbers that differ at all; and looks by what the replay says."""

    records: int
    numbers: int
    differing: list[str]
    lost: int
    double: int
    cells: int
    differing_cells: list[str]
    looks: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Whether everything is exact, and every look replayed."""
        wrong = self.lost or self.double or self.differing or self.differing_cells
        return not wrong and self.cells > 0 and set(self.looks) == {"same"}


def judge(settings: Settings, directory: Path) -> Judgement:
    """Compare everything, after every run is final and the archive has it all."""
    said = directory / "said.ndjson"
    records = asyncio.run(_read(settings, said))
    expected = shop.expected(shop.rows_of(said, settings), read_catalog(settings).newest, ALL_SETTLED, settings)
    found = published(asyncio.run(shop.last_words(settings)))
    wanted, counted = _by_place(expected), _by_place(found)
    lost = double = 0
    differing = []
    for place in sorted(wanted.keys() | counted.keys(), key=str):
        want, got = wanted.get(place, 0), counted.get(place, 0)
        if want != got:
            differing.append(f"{place}: {got}, must be {want}")
        if place[0] in COUNTS or place[0].startswith("units/") or (place[0] == "sums" and place[-2:] == UNITS_N):
            lost += max(0, want - got)
            double += max(0, got - want)
    cells, differing_cells = shop.compare_cells(settings.snapshot, expected)
    return Judgement(
        records=records,
        numbers=len(wanted.keys() | counted.keys()),
        differing=differing,
        lost=lost,
        double=double,
        cells=len(cells),
        differing_cells=differing_cells,
        looks=_replayed(settings),
    )


def _by_place(rows: set[Row]) -> dict[Row, int]:
    return {row[:-1]: int(row[-1]) for row in rows}


async def _read(settings: Settings, file: Path) -> int:
    """Write down every record of the sources as the traffic does; how many there are."""
    topics = {settings.topic(topic): topic.encode() for topic in SOURCES}
    arguments = aiokafka_arguments(settings)
    consumer = AIOKafkaConsumer(*topics, group_id=None, auto_offset_reset="earliest", **arguments)
    await consumer.start()
    places = consumer.assignment()
    ends = await consumer.end_offsets(places)
    count = 0
    with file.open("wb") as opened:
        while [tp for tp in places if await consumer.position(tp) < ends[tp]]:
            for tp, records in (await consumer.getmany(timeout_ms=1_000)).items():
                head = b'{"topic":"%s","partition":%d,' % (topics[tp.topic], tp.partition)
                line = b'"offset":%d,"append_time":%d,"value":%b}\n'
                told = (line % (each.offset, each.timestamp, _json(each.value)) for each in records)
                opened.writelines(head + each for each in told)
                count += len(records)
    await consumer.stop()
    return count


def _replayed(settings: Settings) -> dict[str, int]:
    """Looks by their outcome."""
    command = [sys.executable, "-m", "pipeline.cli", "replay", "--json"]
    done = subprocess.run(command, env=settings.environment(), capture_output=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"the archive cannot be replayed: {done.stderr.decode()}")
    return dict(Counter(msgspec.json.decode(done.stdout)["outcomes"]))
