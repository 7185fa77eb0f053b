"""Paths of any depth: the kernel takes what it is sure of as msgspec reads it, and leaves the rest."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.columns.nesting import DEEPEST
from evaluation.columns.path_scanning import PathTree, View, elements, scan_paths
from evaluation.columns.scanning import LONGEST_TEXT
from evaluation.columns.texts import as_bytes
from evaluation.sources.odd import OddColumns

ALL = View.TEXT | View.JSON | View.NUMBER
TREE = PathTree(
    {
        ("a",): View.JSON,
        ("a", "b"): View.JSON | View.NUMBER,
        ("a", "b", 0): View.TEXT,
        ("a", "b", 2, "c"): ALL,
        ("a", "b", "c"): View.NUMBER,
        ("a", "é.x"): View.TEXT,
        ("c",): View.TEXT,
        ("b", 0, 1): View.TEXT | View.NUMBER,
        ("b", 1, "a"): View.JSON,
        ("0",): View.TEXT,
        ("\n",): View.TEXT,
        ("a", '\\"'): View.JSON,
    }
)


def columns_of(columns, i):
    """What columns say of one value."""
    found = {("text", path): texts[i] for path, texts in columns.texts.items()}
    found |= {("json", path): texts[i] for path, texts in columns.json.items()}
    numbers = {path: float(column[i]) for path, column in columns.numbers.items()}
    return found | {("number", path): None if math.isnan(each) else each for path, each in numbers.items()}


def scanned(*values, tree=TREE, is_any=False):
    """What the kernel says of each value; None where it leaves it."""
    length = np.array([len(value) for value in values], np.int64)
    start = np.cumsum(length) - length
    columns, odd = scan_paths(as_bytes(b"".join(values)), start, length, tree, is_any=is_any)
    return [None if odd[i] else columns_of(columns, i) for i in range(len(values))]


def read(value, tree=TREE, is_any=False):
    """The same by msgspec. Raises for what is no JSON, or where a text is wanted and is none."""
    others = OddColumns(tree)
    others.read(value, is_any=is_any)
    columns = others.columns()
    assert not others.faults, others.faults
    return columns_of(columns, 0)


def said(value, tree=TREE, is_any=False):
    """What is there of a value that the kernel takes."""
    (found,) = scanned(value, tree=tree, is_any=is_any)
    assert found == read(value, tree, is_any)
    return {path: each for path, each in found.items() if each is not None}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"{}", {}),
        (b' { "x" : [ { "a" : 1 } ] } ', {}),
        (b'{"a":null,"b":null,"c":null}', {}),
        (b'{"c":"x"}', {("text", ("c",)): "x"}),
        (b'{"c":12.50}', {("text", ("c",)): "12.50"}),
        (b'{"c":123456789012345678901234567890}', {("text", ("c",)): "123456789012345678901234567890"}),
        (b'{"c":true,"0":false}', {("text", ("c",)): "true", ("text", ("0",)): "false"}),
        (b'{"a":"b","b":{"0":[1]}}', {("json", ("a",)): '"b"'}),
        (b'{"a":{"\xc3\xa9.x":"\xe2\x82\xac"}}', {("json", ("a",)): '{"é.x":"€"}', ("text", ("a", "é.x")): "€"}),
        (
            b'{"a":{"b":["x",[{"c":9}],{"c":"7"},{"c":1}]}}',
            {
                ("json", ("a",)): '{"b":["x",[{"c":9}],{"c":"7"},{"c":1}]}',
                ("json", ("a", "b")): '["x",[{"c":9}],{"c":"7"},{"c":1}]',
                ("text", ("a", "b", 0)): "x",
                ("text", ("a", "b", 2, "c")): "7",
                ("json", ("a", "b", 2, "c")): '"7"',
                ("number", ("a", "b", 2, "c")): 7.0,
            },
        ),
        (b'{"b":[[5,6],{"a":[]}]}', {
            ("text", ("b", 0, 1)): "6", ("number", ("b", 0, 1)): 6.0, ("json", ("b", 1, "a")): "[]"}),
        (b'{"a":{"b":{"c":-1.25}}}', {
            ("json", ("a",)): '{"b":{"c":-1.25}}',
            ("json", ("a", "b")): '{"c":-1.25}',
            ("number", ("a", "b", "c")): -1.25}),
    ],
)  # fmt: skip
def test_what_stands_at_paths_is_read_as_msgspec_reads_it(value, found):
    assert said(value) == found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'"c"',
        b"7",
        b"{",
        b'{"c":1}}',
        b'{"c":1,}',
        b'{"c":1} x',
        b'{"c":01}',
        b'{"c":tru}',
        b'{"c":"x","c":"y"}',
        b'{"a":{},"a":{}}',
        b'{"\\u0063":"x"}',
        b'{"c":"\\n"}',
        b'{"c":"\xff"}',
        b'{"a":"\xff"}',
        b'{"a":{"b":["\xff"]}}',
        b'{"c":{}}',
        b'{"c":["x"]}',
        b'{"a":{"b":{"c":1e3}}}',
        b'{"a":{"b":{"c":1234567890123456}}}',
        b'{"c":"' + b"x" * (LONGEST_TEXT + 1) + b'"}',
        b'{"x":' + b"[" * DEEPEST + b"]" * DEEPEST + b"}",
    ],
)
def test_what_the_kernel_is_not_sure_of_is_left(value):
    assert scanned(value) == [None]


def test_escapes_and_long_numbers_are_read_one_by_one_with_the_same_meaning():
    found = read(b'{"\\u0063":"\\u00e9\\n","a":{"b":{"c":1e3}},"0":1e5}')

    assert found["text", ("c",)] == "é\n"
    assert found["number", ("a", "b", "c")] == 1_000.0
    assert found["text", ("0",)] == "1e5"


def test_whatever_a_name_holds_it_is_found():
    found = read(rb'{"\n": "x", "a": {"\\\"": [1]}}')

    assert found["text", ("\n",)] == "x"
    assert found["json", ("a", '\\"')] == "[1]"


@pytest.mark.parametrize("value", [b"5", b' "x" ', b"true", b"[7]", b"null", b'{"a":1}'])
def test_an_element_may_be_any_value(value):
    tree = PathTree({(): View.JSON | View.NUMBER, ("a",): View.TEXT, (0,): View.TEXT})

    (found,) = scanned(value, tree=tree, is_any=True)

    assert found == read(value, tree, is_any=True)


NAMES = st.sampled_from(["a", "b", "c", "0", "é.x", "x", "\n", '\\"'])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["7", " 1.5 ", "1e3"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


def written(value, indent, ascii_only):
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")


BYTES = st.builds(written, OBJECTS, st.sampled_from([None, 1]), st.booleans())
BROKEN = st.builds(
    lambda value, at, put: value[: at % len(value)] + put + value[at % len(value) + 1 :],
    BYTES,
    st.integers(0, 1_000),
    st.sampled_from([b"", b"\xff", b'"', b"\\", b"{", b"]", b",", b" ", b"0"]),
)


@settings(max_examples=300)
@given(st.lists(BYTES | BROKEN, min_size=1, max_size=4))
def test_what_the_kernel_takes_is_what_msgspec_reads(values):
    for value, found in zip(values, scanned(*values), strict=True):
        if found is not None:
            assert found == read(value)


@settings(max_examples=200)
@given(st.lists(st.lists(VALUES, max_size=5), max_size=3), st.sampled_from([None, 1]))
def test_the_elements_of_arrays_are_those_that_json_has(arrays, indent):
    texts = [written(each, indent, ascii_only=True) for each in arrays]
    length = np.array([len(text) for text in texts], np.int64)
    start = np.cumsum(length) - length
    data = as_bytes(b"".join(texts))

    of, first, size = elements(data, start, length)

    found = [[] for _ in arrays]
    for which, at, n in zip(of.tolist(), first.tolist(), size.tolist(), strict=True):
        found[which].append(msgspec.json.decode(data[at : at + n].tobytes()))
    assert found == arrays
