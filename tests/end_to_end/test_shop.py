"""The visitors' traffic under metrics of every type, through the pure stages: as the queries and `analyze` say."""

from pathlib import Path

import msgspec
import numpy as np

from evaluation.assignment.routing import assign
from evaluation.catalog import lifecycle
from evaluation.catalog.history import History
from evaluation.metrics.partition import Partition
from evaluation.significance.look import look
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import changes
from pipeline.demo.traffic import _json
from pipeline.demo.visitors import Chunk, Visitors
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from schemas.aggregate import Aggregate
from schemas.catalog import KINDS, Document, Spec
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES
from tests.end_to_end import shop
from tests.oracle import published

START = 1_764_000_000_000
HORIZON = 5_000


def test_every_type_of_metric_comes_out_as_the_queries_say_and_as_analyze_says(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="-", prefix="-", data=tmp_path, horizon=HORIZON, tolerance=HORIZON)
    documents, sent = shop.write_documents(tmp_path / "catalog"), tmp_path / "sent.ndjson"
    history = _running(documents)

    aggregates = _stream(history, sent, records=4_000)

    said = shop.rows_of(sent, settings)
    expected = shop.expected(said, history.newest, max(each.watermark for each in aggregates), settings)
    assert published(shop.named(aggregates)) ^ expected == set()
    assert len(expected) > 500
    runs = {key: history.newest.flags[key].runs[-1] for key in shop.FLAGS}
    looks = [look(run, [each for each in aggregates if each.flag == key], None) for key, run in runs.items()]
    assert shop.live(looks) == shop.analyzed(said, documents, tmp_path)


def _running(documents: Path) -> History:
    """The catalog in which these documents take part."""
    history = History()

    def append(spec: Spec, key: str, time: int) -> None:
        kind = KINDS[type(spec)]
        base = history.newest.version_of(kind, key)
        raw = msgspec.Raw(msgspec.json.encode(spec))
        document = Document(kind=kind, key=key, version=base + 1, base=base, author="-", time=0, reason="-", spec=raw)
        history.append(len(history.states) - 1, time, msgspec.json.encode(document))
        assert not history.rejected

    for change in changes(read_documents(documents), history):
        append(change.spec, change.key, START - 5_000)
    for key in shop.FLAGS:
        state = history.state_of(key)
        assert state
        append(lifecycle.start(state, 2, salt=key), key, START - 4_000)
    return history


def _stream(history: History, sent: Path, records: int) -> list[Aggregate]:
    """What the stages make of so many records, which are written down; long after the last one."""
    flags = {key: flag for key, flag in history.newest.flags.items() if flag.status == "running"}
    visitors = Visitors(flags, seed=3, start=START, records_per_second=1_000, horizon_ms=HORIZON)
    gathering, partitions = Gathering(4, HORIZON, 2), [Partition(number, HORIZON) for number in range(4)]
    ends = {EXPOSURES: 0, EVENTS: 0}
    for topic in ends:
        gathering.begin((topic, 0), 0)

    def fold() -> None:
        for partition, message in zip(partitions, gathering.cut()[1], strict=True):
            partition.fold(partition.offset, message, history.at_offset)

    now = START
    with sent.open("wb") as file:
        while sum(ends.values()) < records:
            now += 500
            for chunk in visitors.until(now):
                begin = ends[chunk.topic]
                ends[chunk.topic] += len(chunk)
                head = b'{"topic":"%s","partition":0,"offset":%%d,"append_time":%d,"value":%%b}\n'
                line = head % (chunk.topic.encode(), now)
                file.writelines(line % (begin + i, _json(value)) for i, value in enumerate(chunk.values))
                for assigned in assign(_records(chunk, begin, now), history, HORIZON, HORIZON):
                    gathering.add((chunk.topic, 0), assigned)
            fold()
    for topic in ends:
        gathering.reach((topic, 0), now + 60_000, history.newest.offset)
    fold()
    return [each for partition in partitions for each in partition.aggregates()]


def _records(chunk: Chunk, begin: int, time: int) -> Records:
    length = np.array([-1 if value is None else len(value) for value in chunk.values], np.int64)
    size = np.maximum(length, 0)
    return Records(
        topic=chunk.topic,
        partition=0,
        begin=begin,
        end=begin + len(chunk),
        offset=np.arange(begin, begin + len(chunk)),
        append_time=np.full(len(chunk), time),
        start=np.cumsum(size) - size,
        length=length,
        data=memoryview(b"".join(value or b"" for value in chunk.values)),
    )
