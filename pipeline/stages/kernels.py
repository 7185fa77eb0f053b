"""Kernels: compiled ahead, so that no stream waits for a compiler.

Some visitors are taken along the whole path once: record batches to columns, columns to rows, rows to units, units to
sums, to a checkpoint and back; and who they are to `identities`.
"""

import tempfile
from functools import cache

import msgspec
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from evaluation.arrivals.tally import Tally
from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.columns.kinds import Kinds
from evaluation.columns.nesting import DEEPEST
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from evaluation.significance import boschloo
from pipeline.kafka.columnar.columns import read_columns
from pipeline.stages.gathering import Gathering
from pipeline.storage.archive import Archive
from schemas.catalog import Cuped, Flag, FlagState, Goal, Metric, Step, Variant
from schemas.records import RecordKeys, Records
from schemas.source import FieldMap, ForeignSource, TimeAt, TimeUnit
from schemas.topics import EVENTS, EXPOSURES, IDENTITIES, MARK

NOW = 1_000_000_000_000  # ms UTC; any time will do
HORIZON = 3_600_000
SECOND = 1_000
VISITORS = 300
TIMES: tuple[TimeUnit, ...] = ("iso8601", "s")  # as text and as numbers


@cache
def compile_kernels() -> None:
    """Run every kernel of the hot path, with the types that the stream gives it."""
    boschloo.one_sided([3], [20], [1], [20], np.zeros(1, np.int64))
    history = _history()
    gathering = Gathering(partitions=1, horizon=HORIZON, expected=2)
    tally = Tally("kernels")
    Kinds(1).forget(0)
    partition, identities = Partition(0, HORIZON), Identities(0, HORIZON)
    told = Gathering(partitions=1, horizon=HORIZON, expected=1)
    told.begin((IDENTITIES, 0), 0)
    for topic in (EXPOSURES, EVENTS):
        gathering.begin((topic, 0), 0)
    for unit in TIMES:
        assign(_foreign(unit), history, HORIZON, HORIZON)
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive(directory, interval_ms=SECOND)
        for visit in range(3):
            for topic in (EVENTS, EXPOSURES):
                records = _records(topic, visit)
                archive.append(records)
                for assigned in assign(records, history, HORIZON, HORIZON):
                    gathering.add((topic, 0), assigned)
                    tally.add(records, assigned)
                gathering.reach((topic, 0), _time(visit) + 3 * HORIZON * (visit == 1), history.newest.offset)
            tally.tell({})
            for message in gathering.cut_identities():
                said = identities.fold(identities.offset, message, history.at_offset)
                if said:
                    told.add((IDENTITIES, 0), said)
            identities = Identities.load(identities.save())
            for message in gathering.cut()[1] + told.cut()[1]:
                partition.fold(partition.offset, message, history.at_offset)
            partition.aggregates()
            partition.numbers("flag", "exp-1", "buyers")
            partition = Partition.load(partition.save())


def _time(visit: int) -> int:
    return NOW + 10 * SECOND * (visit + 1)


def _records(topic: str, visit: int) -> Records:
    """Visitors, of whom one meets both arms, and one is new. Each is exposed, asks for a variant and buys.

    Exposures name a device, by which people are known to the other flag; an earlier one in the last visit. Some records
    have no insert id, a header, a run of their own, an escape that only msgspec reads, or many brackets.
    """
    time_of = _time(visit)
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 24)
    first = 2 * VISITORS * visit
    for offset in range(2 * VISITORS):
        user, again = divmod(offset, 2)
        name = {1: "\\u00e9mile", 3: f"newcomer-{visit}"}.get(user, f"visitor-{user}")
        message = f'"user_id":"{name}","time":{time_of - SECOND * visit}'
        if user == 1:
            message += f',"tags":[{",".join(["[]"] * DEEPEST)}]'
        if topic == EXPOSURES:
            message += f',"device_id":"device-{user + visit}"'
        if user % 10:
            message += f',"insert_id":"{user}-{visit}"'
        if topic == EVENTS:
            message += ',"event_type":"buy","event_properties":{"price":1.5}'
        elif again:
            message += ',"flag_key":"flag"'
        else:
            variant = "treatment" if (user, visit) == (0, 2) else "control"
            message += (
                f',"flag_key":"flag","experiment_key":"exp-1","variant":"{variant}","metadata":{{"flagVersion":2}}'
            )
        headers = [("content-type", b"application/json")] if user == 2 else []
        batch.append(offset, timestamp=time_of, key=None, value=f"{{{message}}}".encode(), headers=headers)
    raw = bytearray(batch.build())
    raw[:8] = first.to_bytes(8, "big")  # the base offset stands before what the checksum covers
    return read_columns(memoryview(raw), topic, 0, first)


def _foreign(unit: TimeUnit) -> Records:
    """A basket of another shape, with a key, whose items, in a text, are an event each."""
    at = np.datetime_as_string(np.datetime64(NOW, "ms")) if unit == "iso8601" else NOW // 1_000
    value = msgspec.json.encode({"who": "é", "at": str(at), "items": '[{"price": "2"}, {"price": 1.5}]'})
    return Records(
        topic=f"{MARK}baskets.{unit}",
        partition=0,
        begin=0,
        end=1,
        offset=np.zeros(1, np.int64),
        append_time=np.array([_time(0)]),
        start=np.zeros(1, np.int64),
        length=np.array([len(value)]),
        data=memoryview(value),
        keys=RecordKeys(np.zeros(1, np.int64), np.ones(1, np.int64), memoryview(b"k")),
    )


def _source(unit: TimeUnit) -> ForeignSource:
    return ForeignSource(
        key=unit,
        topic=f"baskets.{unit}",
        makes="event",
        parse=("items",),
        each="items",
        map=FieldMap(
            event_type="= buy",
            user_id=("who", "$key"),
            time=TimeAt(path="at", unit=unit),
            event_properties={"price": "items.price"},
        ),
    )


def _history() -> History:
    """Flags, running, with metrics that make every kernel run."""
    metrics = [
        Metric(key="buyers", owner="-", type="conversion", event="buy", window="1h"),
        Metric(key="purchases", owner="-", type="count", event="buy", window="none"),
        Metric(
            key="revenue",
            owner="-",
            type="sum",
            event="buy",
            property="price",
            window="1h",
            cuped=Cuped(lookback="1h"),
        ),
        Metric(key="twice", owner="-", type="funnel", steps=(Step(event="buy"), Step(event="buy")), window="1h"),
    ]
    flag = Flag(
        key="flag",
        owner="-",
        variants=(Variant(key="control", users=("carl",)), Variant(key="treatment")),
        metrics=tuple(Goal(metric=metric.key) for metric in metrics),
    )
    people = msgspec.structs.replace(flag, key="people", unit="device_id", identity="user_id")
    specs: list[Metric | FlagState | ForeignSource] = [*metrics, *map(_source, TIMES)]
    for each in (flag, people):
        draft = apply_definition(None, each, 1)
        specs += [draft, start(draft, 2, "salt")]
    history = History()
    for spec in specs:
        history.suppose(spec, NOW)
    return history
