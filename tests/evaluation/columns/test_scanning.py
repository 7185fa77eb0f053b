"""The scan against msgspec: what it takes, it takes as msgspec would; what it is not sure of, it leaves."""

import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evaluation.columns.scanning import MISSING, Type, Wanted, scan
from evaluation.columns.texts import as_bytes

WANTED = Wanted(
    {
        ("event_type",): Type.TEXT,
        ("time",): Type.INTEGER,
        ("user_id",): Type.TEXT,
        ("properties",): Type.OBJECT,
        ("properties", "price"): Type.NUMBER,
        ("properties", "preis in €"): Type.NUMBER,
        ("groups",): Type.OBJECT,
        ("groups", "org"): Type.FIRST,
        ("properties", "plan"): Type.VALUE,
        ("any",): Type.VALUE,
    },
    ("event_type",),
)


class Properties(msgspec.Struct, rename={"euro": "preis in €"}):
    price: msgspec.Raw = None
    euro: msgspec.Raw = None
    plan: msgspec.Raw = None


class Groups(msgspec.Struct):
    org: str | list[str] | None = None


class Event(msgspec.Struct):
    event_type: str
    time: int | None = None
    user_id: str | None = None
    properties: Properties | None = None
    groups: Groups | None = None
    any: msgspec.Raw = None


def scanned(*values: bytes):
    """Each value's fields by path as the scan reads them, or None where it leaves the value to others."""
    data = as_bytes(b"".join(values))
    length = np.array([len(value) for value in values])
    start = np.cumsum(length) - length
    scan_ = scan(data, start, length, WANTED)
    read = []
    for i in range(len(values)):
        fields = {}
        for path, kind in WANTED.fields.items():
            at = WANTED.position[path]
            if kind == Type.VALUE:
                text = scan_.texts(path)[i] if not scan_.odd[i] else None
                fields[path] = text, None if math.isnan(scan_.number[at, i]) else scan_.number[at, i]
            elif kind in {Type.TEXT, Type.FIRST}:
                fields[path] = scan_.texts(path)[i] if not scan_.odd[i] else None
            elif kind == Type.INTEGER:
                fields[path] = None if scan_.start[at, i] == MISSING else int(scan_.start[at, i])
            elif kind == Type.NUMBER:
                fields[path] = None if math.isnan(scan_.number[at, i]) else scan_.number[at, i]
        read.append(None if scan_.odd[i] else fields)
    return read


def decoded(value: bytes):
    """The same by msgspec."""
    event = msgspec.json.decode(value, type=Event)
    properties, groups = event.properties or Properties(), event.groups or Groups()

    def number(text):
        if text and text[0] == '"' and "\\" not in text:
            text = (
                text[1:-1].strip(" ") if re.search("[0-9]", text) and not re.search("[^0-9.eE+ -]", text[1:-1]) else ""
            )
        try:
            return float(text) if text and text[0] in "+-.0123456789" else None
        except ValueError:
            return None

    def value(raw):
        text = None if raw is None or bytes(raw) == b"null" else bytes(raw).decode()
        return text, number(text)

    return {
        ("properties", "plan"): value(properties.plan),
        ("any",): value(event.any),
        ("event_type",): event.event_type,
        ("time",): event.time,
        ("user_id",): event.user_id,
        ("properties", "price"): value(properties.price)[1],
        ("properties", "preis in €"): value(properties.euro)[1],
        ("groups", "org"): groups.org,
    }


PLAIN = [
    b'{"event_type":"purchase"}',
    b' {"event_type" : "purchase" , "time" : 1795457776410 }\n',
    b'{"event_type":"view","user_id":"u-1","time":0,"properties":{"price":12.5,"preis in \xe2\x82\xac":-3}}',
    b'{"time":null,"event_type":"","user_id":null,"properties":null,"groups":null}',
    b'{"properties":{},"groups":{"org":"acme","team":["a","b"]},"event_type":"view"}',
    '{"event_type":"购买","user_id":"Zoë 🦎"}'.encode(),
    b'{"event_type":"a","other":{"time":"x","price":[1,2,{"user_id":5}],"event_type":7},"list":[[],{},[[{}]]]}',
    b'{"event_type":"a","x":"\\u00e9\\n\\"}{","y":true,"z":[false,null,-0.5e+10,1E5]}',
    b'{"event_type":"a","properties":{"x":{"price":1},"user_id":3,"y":[{"price":2}]},"user_id":"u"}',
    b'{"event_type":"a","properties":{"price":true}}',
    b'{"event_type":"a","properties":{"price":"12"}}',
    b'{"event_type":"a","properties":{"price":" -12.50 ","plan":"7.25"},"any":"$7.25"}',
    b'{"event_type":"a","properties":{"price":"+.5","plan":"7,25"},"any":"7.25 EUR"}',
    b'{"event_type":"a","properties":{"price":"1 099.00","plan":"-"},"any":"NaN"}',
    b'{"event_type":"a","properties":{"price":"e12","plan":"1_0"},"any":"0x10"}',
    b'{"event_type":"a","properties":{"price":0.1,"x":123456789012345678901234567890}}',
    b'{"event_type":"a","properties":{"price":999999999999999}}',
    b'{"event_type":"a","properties":{"price":0.00000000000001}}',
    b'{"event_type":"a","\xff":1}',
    b'{"event_type":"a","any":"x \\n\\u00e9","properties":{"plan":[1,{"plan":2,"price":3}, "]"] ,"price":5}}',
    b'{"event_type":"a","any":{"price":1,"plan":{"user_id":[]}},"user_id":"u","properties":{"plan":true}}',
    b'{"any":[],"event_type":"a","properties":{"plan": -12.50 },"groups":{}}',
    b'{"any":null,"event_type":"a","properties":{"plan":{},"price":2}}',
    b'{"properties":{"x":1},"any":{"a":{"price":1}},"event_type":"a"}',
    b'{"event_type":"a","x":"\xff"}',
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value[:40]))
def test_plain_objects_are_read_in_the_scan_and_as_msgspec_reads_them(value):
    assert scanned(value) == [decoded(value)]


ODD = [
    b"",
    b" ",
    b"null",
    b"5",
    b'"event_type"',
    b"[]",
    b'[{"event_type":"a"}]',
    b"{}",
    b"{",
    b'{"event_type":"a"',
    b'{"event_type":"a',
    b'{"event_type":"a"}}',
    b'{"event_type":"a"},',
    b'{"event_type":"a"} {"event_type":"a"}',
    b'{"event_type":"a",}',
    b'{,"event_type":"a"}',
    b'{"event_type":"a" "time":1}',
    b'{"event_type":"a";"time":1}',
    b'{"event_type":"a","x":[1,]}',
    b'{"event_type":"a","x":[1}}',
    b'{"event_type":"a","x":{1]}',
    b'{"event_type":"a","x":{1:2}}',
    b'{"event_type":"a","x":01}',
    b'{"event_type":"a","x":1.}',
    b'{"event_type":"a","x":.5}',
    b'{"event_type":"a","x":-}',
    b'{"event_type":"a","x":+1}',
    b'{"event_type":"a","x":1e}',
    b'{"event_type":"a","x":nul}',
    b'{"event_type":"a","x":nullnull}',
    b'{"event_type":"a","x":True}',
    b'{"event_type":"a","x":NaN}',
    b'{"event_type":"a","x":"\n"}',
    b'{"event_type":"a","x":"\x00"}',
    b'{"event_type":"a","x":"\\x"}',
    b'{"event_type":"a","x":"\\u12g4"}',
    b"{'event_type':'a'}",
    b'{"event_type":5}',
    b'{"event_type":null}',
    b'{"event_type":"a","time":"5"}',
    b'{"event_type":"a","time":5.5}',
    b'{"event_type":"a","time":true}',
    b'{"event_type":"a","properties":[]}',
    b'{"event_type":"a","properties":"x"}',
    b'{"event_type":"a","properties":{"price":{"price":1}}}',
    b'{"event_type":"a","properties":{"price":[1]}}',
    b'{"event_type":"a","properties":{"price":"\xff"}}',
    b'{"event_type":"a","groups":{"org":5}}',
    b'{"event_type":"a","user_id":"\xff"}',
    b'{"event_type":"a","user_id":"\xed\xa0\x80"}',
    b'{"event_type":"a","user_id":"\xc0\x80"}',
    b'{"event_type":"a","user_id":"\xf4\x90\x80\x80"}',
    b'{"event_type":"a","user_id":"\xe2\x82"}',
    b'{"event_type":"a","any":["\xe2\x82"]}',
    b'{"event_type":"a","any":{"\xff":1}}',
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_is_no_object_of_the_wanted_types_is_left_to_msgspec(value):
    good = b'{"event_type":"a","time":3}'

    before, odd, after = scanned(good, value, good)

    assert odd is None
    assert before == after == decoded(good)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-1000, 1000, places=2).map(float),
    st.text(max_size=12),
    st.sampled_from(["a", "purchase"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.dictionaries(
    st.sampled_from(["event_type", "time", "user_id", "properties", "groups", "any", "other"]), VALUES, min_size=1
).map(lambda event: {"event_type": "a"} | event)
SHAPED = st.fixed_dictionaries(
    {"event_type": st.text(max_size=20)},
    optional={
        "time": st.integers(-(2**60), 2**60),
        "user_id": st.text(max_size=20),
        "properties": st.dictionaries(st.sampled_from(["price", "preis in €", "plan", "x"]), VALUES),
        "groups": st.dictionaries(st.sampled_from(["org", "team"]), st.text() | st.lists(st.text())),
        "any": VALUES,
        "other": VALUES,
    },
)


@settings(max_examples=150)
@given(EVENTS | SHAPED, st.binary(max_size=3), st.integers(0, 400), st.integers(0, 4))
@example({"event_type": "a", "user_id": "\\"}, b'"', 30, 0)
@example({"event_type": "", "time": 0, "properties": {}, "any": [{"\x80": None}]}, b"", 51, 1)
def test_what_the_scan_takes_it_takes_as_msgspec_would(event, noise, at, cut):
    whole = msgspec.json.encode(event)
    at = min(at, len(whole))
    values = [whole, whole[:at] + noise + whole[at + cut :], whole[:at], whole[at:]]

    for value, read in zip(values, scanned(*values), strict=True):
        if read is not None:
            expected = decoded(value)
            assert read == {path: x[0] if isinstance(x, list) else x for path, x in expected.items()}


@settings(max_examples=200)
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 15))
def test_numbers_of_up_to_fifteen_digits_are_the_nearest_doubles(digits, places):
    sign, text = "-" if digits < 0 else "", str(abs(digits)).rjust(places + 1, "0")
    text = sign + (f"{text[:-places]}.{text[-places:]}" if places else text)
    value = b'{"event_type":"a","properties":{"price":%s}}' % text.encode()

    (read,) = scanned(value)

    if len(text.replace("-", "").replace(".", "")) <= 15:
        assert read[("properties", "price")] == float(text)


def test_nesting_beyond_the_limit_is_left_to_msgspec():
    def nested(levels):
        return b'{"event_type":"a","x":%s1%s}' % (b"[" * levels, b"]" * levels)

    assert [read is None for read in scanned(nested(1), nested(63), nested(64), nested(10_000))] == [
        False,
        False,
        True,
        True,
    ]
