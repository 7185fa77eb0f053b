"""Whatever a record holds, the stage goes on: the record is counted, or a dead letter says why not."""

import io
import json

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.assignment.arrow import MOST_ROWS
from evaluation.assignment.routing import assign
from evaluation.catalog.lifecycle import apply_definition, start
from schemas.catalog import Breakdown, Condition, Flag, Goal, Metric, Segment, Step, Variant
from schemas.dead_letter import from_record, to_headers
from schemas.source import ForeignSource
from tests.evaluation.catalogs import in_force

NOW = 1_795_458_000_000
IS_PRO = Condition(property="event_properties.plan", op="is not", values=("pro",))
METRICS = [
    Metric(key="views", owner="shop", type="count", event="view", where=(IS_PRO,), window="10s"),
    Metric(key="revenue", owner="shop", type="sum", event="view", property="price", window="10s"),
]
TWO = (Variant(key="control"), Variant(key="treatment", users=("tester",)))
ASKS = [Condition(property=f"user_properties.{name}", op="is not", values=("pro",)) for name in ("plan", ".dot")]
ASKS += [Condition(property="groups.org.group_properties.plan", op="is not", values=("pro",))]
FLAGS = [
    Flag(key="button", owner="shop", variants=TWO, sticky=True, segments=(Segment(name="s", conditions=tuple(ASKS)),)),
    Flag(
        key="account",
        owner="shop",
        unit="user_properties.plan",
        variants=TWO,
        metrics=tuple(Goal(metric=metric.key) for metric in METRICS),
        breakdowns=(Breakdown(property="platform", values=("web",)),),
        exposure_event=Step(event="view", where=(IS_PRO,)),
    ),
    Flag(key="teams", owner="shop", unit="groups.org", variants=TWO),
]

TEXTS = st.sampled_from(["view", "button", "account", "teams", "treatment", "exp-1", "tester", "pro", "", "[1", "ü"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=3) | st.just(NOW),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["org", "plan", "price", ".dot", "flagVersion", "pro"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["event_type", "flag_key", "user_id", "device_id", "groups", "time", "insert_id", "variant", "experiment_key"]
FIELDS += ["event_properties", "user_properties", "group_properties", "metadata", "platform", "cohort_ids", "other"]
ODD = [b"1e999", b'"\xff"', b'{"org":1e999}', b'{"org":"\xff"}', b"9" * 400, b"[" * 99, b'"\\ud800"', b"-0", b'{"a":1']


@st.composite
def json_objects(draw):
    """A message, of which some values need not be JSON."""
    key = draw(st.sampled_from([flag.key for flag in FLAGS]))
    fields = {b"event_type": b'"view"', b"flag_key": b'"%s"' % key.encode()}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=6)):
        odd = st.sampled_from(ODD)
        within = odd.map(lambda value: b'{"plan":%s,"org":"a"}' % value)
        fields[name.encode()] = draw(odd | within | VALUES.map(lambda value: json.dumps(value).encode()))
    return b"{" + b",".join(b'"%s":%s' % field for field in fields.items()) + b"}"


OF_BYTES = st.one_of(  # of any bytes there is a column
    st.sampled_from([pa.int64(), pa.uint64(), pa.int8(), pa.float64(), pa.float16(), pa.decimal128(9, 2)]),
    st.sampled_from([pa.date32(), pa.date64(), pa.time64("ns"), pa.time32("s"), pa.duration("ns"), pa.duration("s")]),
    st.builds(pa.timestamp, st.sampled_from(["s", "ms", "us", "ns"]), st.sampled_from([None, "UTC", "X/Y", "America"])),
)
EMPTY = st.sampled_from([pa.null(), pa.bool_(), pa.binary(), pa.month_day_nano_interval(), pa.map_("string", "date32")])
OF_TEXTS = st.sampled_from([pa.string(), pa.large_string(), pa.string_view()])


@st.composite
def arrow_columns(draw, rows, depth=2):
    """A column of any type."""
    kinds = ["bytes", "texts", "empty"] + depth * ["struct", "list", "dictionary"]
    match draw(st.sampled_from(kinds)):
        case "struct":
            names = draw(st.lists(st.sampled_from(["org", "plan", "price", ".dot", "pro"]), min_size=1, max_size=3))
            return pa.StructArray.from_arrays([draw(arrow_columns(rows, depth - 1)) for _ in names], names)
        case "list":
            return pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), draw(arrow_columns(rows, 0)))
        case "dictionary":
            return pa.DictionaryArray.from_arrays(pa.array(range(rows), pa.int8()), draw(arrow_columns(rows, 0)))
        case "texts":
            return pa.array(draw(st.lists(TEXTS | st.none(), min_size=rows, max_size=rows)), draw(OF_TEXTS))
        case "bytes":
            kind = draw(OF_BYTES)
            size = rows * kind.byte_width
            data = draw(st.binary(min_size=size, max_size=size))
            return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(data)])
    return pa.nulls(rows, draw(EMPTY))


def stream(columns, names):
    """An Arrow IPC stream."""
    batch = pa.RecordBatch.from_arrays(columns, names)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@st.composite
def streams(draw):
    """An Arrow IPC stream, or what is left of it."""
    rows = draw(st.integers(1, 3))
    names = draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    columns = [pa.array(["view"] * rows), pa.array(["button"] * rows), *(draw(arrow_columns(rows)) for _ in names)]
    value = stream(columns, ["event_type", "flag_key", *names])
    at = draw(st.none() | st.integers(0, len(value) - 1))
    return value if at is None else value[:at] + draw(st.binary(max_size=2)) + value[at + 1 :]


RECORDS = st.one_of(
    st.tuples(
        json_objects() | VALUES.map(lambda value: json.dumps(value).encode()) | st.binary() | st.none(), st.none()
    ),
    st.tuples(st.lists(json_objects() | st.binary(), min_size=1).map(b"\n".join), st.just("application/x-ndjson")),
    st.tuples(streams() | st.binary(), st.just("application/vnd.apache.arrow.stream")),
)
HEADERS = st.dictionaries(
    st.sampled_from(["peekproof-origin", "peekproof-append-time", "trace"]),
    st.sampled_from([b"", b"7", b"9" * 5_000, b"events/0/" + b"9" * 5_000, b"events/0/1/2", b"\xff", b"-1", b"a/b/c"]),
)


@pytest.fixture(scope="module")
def history():
    specs = [("metric", metric.key, 1, metric) for metric in METRICS]
    for flag in FLAGS:
        draft = apply_definition(None, flag, 1)
        specs += [("flag", flag.key, 1, draft), ("flag", flag.key, 2, start(draft, 2, f"salt of {flag.key}"))]
    return in_force(specs)


def judge(records_of, history, topic, value, headers):
    rows = [(0, NOW, value, tuple(headers.items()))]
    (assigned,) = assign(records_of(rows, topic=topic), history, 60_000, 60_000)
    return assigned


@settings(max_examples=200)
@given(st.sampled_from(["events", "exposures"]), RECORDS, HEADERS)
def test_any_record_is_counted_or_has_a_dead_letter(records_of, history, topic, record, headers):
    value, content_type = record

    assigned = judge(
        records_of, history, topic, value, headers | ({"content-type": content_type.encode()} if content_type else {})
    )

    assert assigned.counts.get(topic, 0) + len(assigned.rejects) > 0
    for dead_letter in assigned.rejects:
        assert from_record(to_headers(dead_letter), dead_letter.value) == dead_letter


IDS = {"user_id": ["user_id", "event_properties.plan.0"], "groups": "groups", "time": ["time", "$header.trace"]}
SOURCES = [
    {"as": "event", "map": IDS | {"event_type": ["event_type", "$"], "event_properties": "event_properties"}},
    {"as": "event", "each": "groups.org", "map": {"event_type": "= view", "user_id": ["groups.org", "groups.org.0"]}},
    {"as": "event", "each": "$", "map": {"event_type": "= view", "user_id": "$"}},
    {"as": "exposure", "where": [{"property": "other", "op": "is not", "values": ["x"]}]}
    | {"map": IDS | {"flag_key": "flag_key", "variant": "variant", "metadata": "metadata", "insert_id": "$key"}},
]


@pytest.fixture(scope="module")
def with_sources(history):
    history = history.copy()
    for number, said in enumerate(SOURCES):
        source = said | {"key": f"source-{number}", "topic": f"topic-{number}", "from": "beginning"}
        history.suppose(msgspec.convert(source, ForeignSource), NOW - 10_000)
    return history


@settings(max_examples=300)
@given(st.integers(0, len(SOURCES) - 1), RECORDS, HEADERS)
def test_any_record_of_another_shape_is_counted_or_has_a_dead_letter(records_of, with_sources, number, record, headers):
    value, content_type = record
    headers |= {"content-type": content_type.encode()} if content_type else {}

    assigned = judge(records_of, with_sources, f"@topic-{number}", value, headers)

    known = sum(assigned.counts.get(what, 0) for what in ("events", "exposures", "excluded", "tombstones"))
    assert known + len(assigned.rejects) > 0 or "each" in SOURCES[number]  # an array may hold nothing
    for dead_letter in assigned.rejects:
        assert from_record(to_headers(dead_letter), dead_letter.value) == dead_letter


ARROW = {"content-type": b"application/vnd.apache.arrow.stream"}


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pa.timestamp("ms"), 2**62),
        (pa.timestamp("ns"), 1),
        (pa.timestamp("s", "Nowhere/X"), 1),
        (pa.date32(), 2**31 - 1),
        (pa.time64("ns"), 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["user_properties", "other"])
def test_a_time_beyond_python_is_a_value_like_any_other(records_of, history, kind, number, place):
    width = pa.int64() if kind.bit_width == 64 else pa.int32()
    plan = pa.StructArray.from_arrays([pa.array([number, None, number], width).view(kind)], ["plan"])
    times, users = pa.array([NOW, NOW, -1]), pa.array(["a", None, "c"])
    value = stream([pa.array(["view"] * 3), times, users, plan], ["event_type", "time", "user_id", place])

    assigned = judge(records_of, history, "events", value, ARROW)

    assert [(dead_letter.index, dead_letter.reason) for dead_letter in assigned.rejects] == [
        (1, "no unit"),
        (2, "time out of range"),
    ]
    assert json.loads(assigned.rejects[1].value)["user_id"] == "c"


def test_a_stream_has_no_more_rows_than_may_become_dead_letters(records_of, history):
    rows = MOST_ROWS + 1
    value = stream([pa.nulls(rows)], ["event_type"])
    assert len(value) < 1_000

    assigned = judge(records_of, history, "events", value, ARROW)

    assert [(dead_letter.index, dead_letter.reason) for dead_letter in assigned.rejects] == [(None, "too large")]
