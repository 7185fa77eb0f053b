"""Texts that hold JSON: their content stands in their place, whoever reads it."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.assignment.trying import tried
from evaluation.catalog.source_rules import source_violations
from evaluation.columns.texts import as_bytes
from evaluation.sources.inlining import inlined
from evaluation.sources.spans import Spans
from schemas.source import FieldMap, ForeignSource

PLACES: Any = (("a",), ("b", "c"), ("b", "c", "d"), ("l", 1))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab"\\/\n\té€😀{}[]:, ', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=5,
)


def inlined_values(*values: bytes) -> list[bytes]:
    length = np.array([len(value) for value in values], np.int64)
    rows = np.arange(len(values))
    spans = Spans(as_bytes(b"".join(values)), rows, rows, np.cumsum(length) - length, length, is_one_of_many=False)
    found = inlined(spans, PLACES)
    return [found.value(i) for i in range(len(values))]


def parsed(value: Any) -> Any:
    """What a text holds, if that is an object or a list."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return found if isinstance(found, dict | list) else value


def expected(value: Any) -> Any:
    for *before, last in PLACES:
        at = value
        for step in before:
            at = at.get(step) if isinstance(at, dict) else None
        if last in at if isinstance(at, dict) else isinstance(at, list) and last == 1 < len(at):
            at[last] = parsed(at[last])
    return value


@settings(max_examples=150)
@given(
    st.lists(st.fixed_dictionaries({}, optional={"a": JSON, "b": JSON, "l": JSON, "x": JSON}), min_size=1), st.data()
)
def test_what_texts_hold_stands_in_their_place(values: list[Any], data: Any) -> None:
    def as_text(value: Any) -> Any:
        return json.dumps(value, ensure_ascii=data.draw(st.booleans())) if data.draw(st.booleans()) else value

    for value in values:
        if isinstance(value.get("b"), dict) and "c" in value["b"]:
            inner = value["b"]["c"]
            if isinstance(inner, dict) and "d" in inner:
                inner["d"] = as_text(inner["d"])
            value["b"]["c"] = as_text(inner)
        if isinstance(value.get("l"), list):
            value["l"] = [as_text(each) for each in value["l"]]
        value["a"] = as_text(value.get("a"))
    written = [json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode() for value in values]

    found = inlined_values(*written)

    assert [json.loads(each) for each in found] == [expected(value) for value in values]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no json",
        b'{"a":"{\\"b\\":"}',
        b'{"a":"{]"}',
        b'{"a":"[1,]"}',
        b'{"a":"3"}',
        b'{"a":"' + b"[" * 65 + b"]" * 65 + b'"}',
        b'{"a":"{\xff}"}',
        b'{"l":["{}"]}',
    ],
)
def test_what_holds_no_json_stays_what_it_is(value: bytes) -> None:
    assert inlined_values(value, b'{"a":"{}"}') == [value, b'{"a":{}}']


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        (r"\n{}", True),
        (r" \t\r\n []", True),
        (r"\u007b}", True),
        (r"\u000a\u005B1]", True),
        (r"\u0031", False),
        (r"\"{}", False),
        (r"\n", False),
        (r"\f{}", False),
    ],
)
def test_however_a_text_begins_kernel_and_msgspec_say_the_same(text: str, is_json: bool) -> None:
    value = b'{"a":"%b"}' % text.encode()
    odd = value[:-1] + rb',"x":"\ud83d\ude00"}'  # which the kernel leaves

    said = json.loads(value)["a"]

    assert [json.loads(each)["a"] for each in inlined_values(value, odd)] == [json.loads(said) if is_json else said] * 2


def test_paths_and_each_lead_on_into_a_text(records_of: Any) -> None:
    source = ForeignSource(
        key="rows",
        topic="rows",
        makes="event",
        parse=("after.data",),
        each="after.data.items",
        map=FieldMap(event_type="= bought", user_id="after.data.who", event_properties={"sku": "after.data.items.sku"}),
    )
    data = {"who": "ann", "items": [{"sku": "a"}, {"sku": "b"}]}
    value = json.dumps({"after": {"data": json.dumps(data)}}).encode()

    found = tried(records_of([(0, 1_000, value, [])], topic="@rows"), source, 1_000, 0)

    assert [*source_violations(source)] == []
    made = json.loads(msgspec.json.encode([each.message for each in found]))
    assert [(each["user_id"], each["event_properties"]) for each in made] == [
        ("ann", {"sku": "a"}),
        ("ann", {"sku": "b"}),
    ]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("$key", "is no text within the record's value"),
        ("$", "is no text within the record's value"),
        ("a..b", "a dot without a name"),
        ("items.data", "within the elements of `each`"),
    ],
)
def test_a_path_that_leads_to_no_text_is_refused(path: str, fault: str) -> None:
    said = FieldMap(event_type="= bought", user_id="who")
    source = ForeignSource(key="rows", topic="rows", makes="event", parse=(path,), each="items", map=said)

    (violation,) = source_violations(source)

    assert violation.path == ("parse", 0)
    assert fault in violation.message
