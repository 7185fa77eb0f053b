"""A shop whose exposures and events are routed, and what they look like then."""

import io
import json

import msgspec
import pyarrow as pa
import xxhash

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, complete, start
from schemas.catalog import Document, Flag, Goal, Metric, Variant
from schemas.units import RowKind

START = 1_795_457_000_000  # the catalog is written in the minutes after it
NOW = START + 1_000_000  # and input appended long after
HORIZON, TOLERANCE = 60_000, 5_000
NDJSON = [("content-type", b"application/x-ndjson")]
ARROW = [("content-type", b"application/vnd.apache.arrow.stream")]
PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
REVENUE = Metric(key="revenue", owner="shop", type="sum", event="purchase", property="price", window="10s")
VIEWS = Metric(key="views", owner="shop", type="count", event="view", window="20s")
BUTTON = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control", users=("tester",)), Variant(key="treatment", payload={"colour": "red"})),
    metrics=(Goal(metric="purchase"), Goal(metric="revenue"), Goal(metric="views")),
)
TEAMS = Flag(
    key="teams",
    owner="shop",
    unit="groups.org",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchase"),),
)
PLAIN = Flag(key="banner", owner="shop", variants=(Variant(key="on"), Variant(key="dark")), rollout=50)
DRAFT = Flag(key="draft", owner="shop", variants=(Variant(key="control"), Variant(key="treatment", users=("tester",))))


class Topic:
    """The catalog's topic and its reader: a record every ten seconds."""

    def __init__(self):
        self.history = History()
        self.states = {}
        self.versions = {}
        self.time = START

    def _append(self, kind, key, spec):
        version = self.versions.get(key, 0) + 1
        document = Document(
            kind=kind,
            key=key,
            version=version,
            base=version - 1,
            author="ann",
            time=0,
            reason="test",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
        self.time += 10_000
        self.history.append(self.history.newest.offset, self.time, msgspec.json.encode(document))
        assert not self.history.rejected
        self.versions[key] = version

    def metric(self, metric):
        self._append("metric", metric.key, metric)

    def source(self, source):
        self._append("source", source.key, source)

    def apply(self, flag):
        self.states[flag.key] = apply_definition(self.states.get(flag.key), flag, self.versions.get(flag.key, 0) + 1)
        self._append("flag", flag.key, self.states[flag.key])

    def start(self, key):
        version = self.versions[key] + 1
        self.states[key] = start(self.states[key], version, f"salt-{key}-{version}")
        self._append("flag", key, self.states[key])

    def complete(self, key):
        self.states[key] = complete(self.states[key], self.versions[key] + 1)
        self._append("flag", key, self.states[key])

    def run(self, *flags):
        for flag in flags:
            self.apply(flag)
            self.start(flag.key)
        return self


def shop():
    topic = Topic()
    for metric in (PURCHASE, REVENUE, VIEWS):
        topic.metric(metric)
    return topic


def rows_of(assigned):
    """Rows as tuples, with codes spelled out: offset, kind, arm or fact (bare), unit, time, id, value."""
    columns = ("offset", "kind", "code", "unit", "time", "id", "value")
    rows = []
    for each in assigned if isinstance(assigned, list) else [assigned]:
        for offset, kind, code, *rest in zip(*(getattr(each, name).tolist() for name in columns), strict=True):
            names = each.arms if kind & RowKind.EXPOSURE else each.facts
            name = (
                tuple(msgspec.to_builtins(names[code]))
                if kind & RowKind.EXPOSURE
                else tuple(json.loads(names[code])[:3])
            )
            rows.append((offset, kind, name, *rest))
    return rows


def kinds(assigned):
    return assigned.kind.tolist()


def reasons(assigned):
    return [(dead_letter.offset, dead_letter.reason) for dead_letter in assigned.rejects]


def unit(unit_type, name):
    return xxhash.xxh64(f"{unit_type}\0{name}".encode()).intdigest()


def event(name="view", **fields):
    return {"event_type": name, "user_id": "u-1", "time": NOW - 1_000, "insert_id": "i-1"} | fields


def exposure(variant="treatment", **fields):
    said = {"flag_key": "button", "user_id": "u-1", "time": NOW - 1_000, "insert_id": "i-1"} | fields
    return said if variant is None else said | {"variant": variant}


def stream(**columns):
    """An Arrow IPC stream."""
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
