"""The visitors' traffic under metrics of every type, through the pure stages: as the queries and `analyze` say."""

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from evaluation import lifecycle
from evaluation.assignment.routing import assign
from evaluation.catalog import History
from evaluation.metrics.partition import Partition
from pipeline.analysis import Analysis
from pipeline.demo.session import EXAMPLES
from pipeline.demo.traffic import _json
from pipeline.demo.visitors import Chunk, Visitors
from pipeline.documents import read_documents
from pipeline.editing import changes
from pipeline.gathering import Gathering
from pipeline.settings import Settings
from schemas.aggregate import Aggregate
from schemas.catalog import KINDS, Document, Spec
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES
from tests.end_to_end import shop
from tests.oracle import Row, published

START = 1_764_000_000_000
HORIZON = 5_000
TAKING_PART = ("checkout-button", "ranking-aa", "new-player", "voucher-hint", *shop.FLAGS)


def test_every_type_of_metric_comes_out_as_the_queries_say_and_as_analyze_says(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="-", prefix="-", data=tmp_path, horizon=HORIZON, tolerance=HORIZON)
    documents = tmp_path / "catalog"
    shutil.copytree(EXAMPLES, documents)
    history, sent = _running(shop.write_documents(documents)), tmp_path / "sent.ndjson"

    aggregates = _stream(history, sent, records=4_000)

    said = shop.rows_of(sent, settings)
    expected = shop.expected(said, history.newest, max(each.clock for each in aggregates), settings)
    left_out = {"late", "unusable", "duplicates", "pairs"}  # two unit types tell of an event that feeds both
    assert {row for row in published(aggregates) ^ expected if row[0] not in left_out} == set()
    assert len(expected) > 500

    files = {topic: tmp_path / f"{topic}.ndjson" for topic in (EXPOSURES, EVENTS)}
    for topic, file in files.items():
        query = "SELECT json_merge_patch(value, json_object('insert_id', name)) FROM said WHERE topic = ? AND NOT late"
        file.write_text("".join(f"{value}\n" for (value,) in said.execute(query, [topic]).fetchall()))
    analysis = Analysis(read_documents(documents), [files[EXPOSURES]], [files[EVENTS]])
    assert [*analysis][-1] == 1.0
    assert _integers(history, _named(history, analysis.aggregates())) == _integers(history, aggregates)


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
    for key in TAKING_PART:
        state = history.state_of(key)
        assert state
        append(lifecycle.start(state, 2, f"salt-{key}"), key, START - 4_000)
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
    return _named(history, (each for partition in partitions for each in partition.aggregates()))


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


def _named(history: History, aggregates: Iterable[Aggregate]) -> list[Aggregate]:
    """Those of experiments; their runs are called flag/run."""
    flags = history.newest.flags
    named = [msgspec.structs.replace(each, run=f"{each.flag}/{each.run}") for each in aggregates]
    return [each for each in named if each.flag in TAKING_PART and flags[each.flag].definition.metrics]


def _integers(history: History, aggregates: Iterable[Aggregate]) -> Counter[Row]:
    """What files and a stream have in common: the live reading, without covariates, whose buckets are others.

    Of the experiment that buckets units itself, by a salt that files don't know, the sums over its variants.
    """
    added: Counter[Row] = Counter()
    for what, named, metric, _, reading, _, variant, segment, i, j, x in published(aggregates):
        if what != "sums" or reading != "live":
            continue
        run = history.newest.flags[named.partition("/")[0]].runs[-1]
        if max(i or 0, j or 0) < len(run.metrics[metric].variables):
            arm = "all" if run.definition.exposure_event else variant
            added[named, metric, arm, segment, i, j] += int(x)
    return added
