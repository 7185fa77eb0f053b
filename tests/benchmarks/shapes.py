"""Shapes: what a slice costs the assignment stage's pure part whose records are ours, or nested and mapped by a source.

All say the same in twelve fields, and make the same rows. The nested record has 600 bytes of JSON; as Avro and Protobuf
it is measured too.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from schemas.catalog import Condition, Flag, FlagState, Goal, Metric, Variant
from schemas.records import Records
from schemas.source import FieldMap, ForeignSource, TimeAt
from schemas.topics import EVENTS, MARK
from schemas.writer_schema import Schemas
from tests.benchmarks.registered import in_avro, in_protobuf

NOW = 1_800_000_000_000  # ms UTC
HORIZON = 3_600_000
SLICE = 20_000  # records
TIMES = 15
BYTES = 600  # of a nested record
SOURCE = ForeignSource(
    key="orders",
    topic="shop.orders",
    makes="event",
    map=FieldMap(
        event_type="event.name",
        user_id="event.actor.user.id",
        device_id="event.actor.device.id",
        time=TimeAt(path="event.at", unit="iso8601"),
        insert_id="event.id",
        event_properties={
            "revenue": "event.order.totals.gross",
            "tax": "event.order.totals.tax",
            "currency": "event.order.currency",
            "items": "event.order.items.0.quantity",
        },
        user_properties={"plan": "event.actor.user.plan", "age": "event.actor.user.age"},
        country="event.place.country",
    ),
)


def measure() -> dict[str, float]:
    """Microseconds of CPU per record of each, and the ratio of the nested one to ours."""
    history = _history()
    ours, nested = zip(*(_record(i) for i in range(SLICE)), strict=True)
    (avro, in_avros), (protobuf, in_protobufs) = in_avro(nested), in_protobuf(nested)
    schemas = {schema.id: schema for schema in (avro, protobuf)}
    slices = {
        "own shape": _slice(EVENTS, [*map(msgspec.json.encode, ours)]),
        "nested": _slice(MARK + SOURCE.topic, [*map(msgspec.json.encode, nested)]),
        "avro": _slice(f"{MARK}avro", in_avros),
        "protobuf": _slice(f"{MARK}protobuf", in_protobufs),
    }
    figures = _costs(slices, history, schemas)
    made = {name: assign(records, history, HORIZON, HORIZON, schemas)[0] for name, records in slices.items()}
    for each in made.values():
        assert each.value.tolist() == made["own shape"].value.tolist() != []
        assert each.id.tolist() == made["own shape"].id.tolist()
    return figures | {"ratio": figures["nested"] / figures["own shape"]}


def show(measured: dict[str, float]) -> str:
    """The figures in a line."""
    return (
        f"assignment alone, us CPU/record: {measured['own shape']:.2f} of our shape, {measured['nested']:.2f} nested, "
        f"of {BYTES} bytes and 12 mapped fields: {measured['ratio']:.2f}x; "
        f"{measured['avro']:.2f} the same as Avro, {measured['protobuf']:.2f} as Protobuf"
    )


def _costs(slices: dict[str, Records], history: History, schemas: Schemas) -> dict[str, float]:
    """The least of several times, taken by turns."""
    taken: dict[str, list[float]] = {name: [] for name in slices}
    for _ in range(TIMES):
        for name, records in slices.items():
            began = time.process_time()
            assign(records, history, HORIZON, HORIZON, schemas)
            taken[name].append(time.process_time() - began)
    return {name: min(each) / SLICE * 1e6 for name, each in taken.items()}


def _record(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """An event as we have it, and as somebody else does."""
    at = NOW - 1_000 * (i % 600)
    name = ("view", "buy", "search", "open")[i % 4]
    user, device, key = f"user-{i % 5_000}", f"device-{i % 7_000:08}", f"{i:032x}"
    order = {"revenue": i % 9_000 / 100, "tax": i % 100, "currency": "EUR", "items": i % 5}
    who = {"plan": ("free", "pro")[i % 2], "age": 18 + i % 60}
    ours = {
        "event_type": name,
        "user_id": user,
        "device_id": device,
        "time": at,
        "insert_id": key,
        "event_properties": order,
        "user_properties": who,
        "country": "de",
    }
    written = str(np.datetime64(at, "ms")) + "Z"
    nested = {
        "schema": "com.example.shop/order/v2",
        "event": {
            "id": key,
            "name": name,
            "at": written,
            "actor": {"user": {"id": user} | who, "device": {"id": device, "agent": "Mozilla/5.0 (X11; Linux x86_64)"}},
            "order": {
                "currency": order["currency"],
                "totals": {"gross": order["revenue"], "tax": order["tax"]},
                "items": [{"sku": "A-100", "quantity": order["items"]}, {"sku": "B-7", "quantity": 1}],
            },
            "place": {"country": "de", "city": "Berlin"},
        },
        "trace": "",
    }
    nested["trace"] = "x" * (BYTES - len(msgspec.json.encode(nested)))
    return ours, nested


def _slice(topic: str, values: Sequence[bytes]) -> Records:
    length = np.array([*map(len, values)], np.int64)
    return Records(
        topic=topic,
        partition=0,
        begin=0,
        end=SLICE,
        offset=np.arange(SLICE),
        append_time=np.full(SLICE, NOW),
        start=np.cumsum(length) - length,
        length=length,
        data=memoryview(b"".join(values)),
    )


def _history() -> History:
    """An experiment whose metrics read all of the fields."""
    where = (Condition(property="event_properties.currency", op="is", values=("EUR",)),)
    of_users = (
        Condition(property="user_properties.plan", op="is", values=("pro",)),
        Condition(property="user_properties.age", op="greater", values=("30",)),
        Condition(property="country", op="is", values=("de",)),
    )
    metrics = [
        Metric(key="revenue", owner="-", type="sum", event="buy", property="revenue", window="1h", where=where),
        Metric(key="tax", owner="-", type="sum", event="buy", property="tax", window="1h"),
        Metric(key="items", owner="-", type="mean", event="buy", property="items", window="1h"),
        Metric(key="searches", owner="-", type="count", event="search", window="1h", where=of_users),
    ]
    variants = (Variant(key="control"), Variant(key="treatment"))
    goals = tuple(Goal(metric=each.key) for each in metrics)
    draft = apply_definition(None, Flag(key="flag", owner="-", variants=variants, metrics=goals), 1)
    specs: list[Metric | FlagState | ForeignSource] = [*metrics, draft, start(draft, 2, "salt"), SOURCE]
    specs += [msgspec.structs.replace(SOURCE, key=form, topic=form, format=form) for form in ("avro", "protobuf")]
    history = History()
    for spec in specs:
        history.suppose(spec, NOW - 10 * HORIZON)
    return history
