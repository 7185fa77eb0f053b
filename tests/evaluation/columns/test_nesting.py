"""Nesting: as many levels as a reader of one character after the other counts, whatever stands there."""

import json

from hypothesis import given
from hypothesis import strategies as st

from evaluation.columns.nesting import DEEPEST, is_too_deep, json_depth

PIECES = st.sampled_from(
    ['"', "\\", "\\\\", '\\"', "{", "}", "[", "]", "[" * 40, '{"a":' * 40, "]" * 50, "é", "\n", "1,"]
)


@given(st.lists(PIECES).map("".join))
def test_the_depth_is_exact_where_it_is_too_deep(text):
    depth = deepest = 0
    inside = escaped = False
    for dead_letter in text:
        if inside:
            escaped, inside = not escaped and dead_letter == "\\", escaped or dead_letter != '"'
        elif dead_letter == "\\":
            break  # no JSON: nobody reads on
        elif dead_letter == '"':
            inside = True
        elif dead_letter in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif dead_letter in "}]":
            depth -= 1
    else:
        assert json_depth(text.encode()) in {deepest, text.count("{") + text.count("[")}

    assert deepest <= json_depth(text.encode())


def test_64_levels_are_read_and_65_are_not():
    for levels, is_refused in ((DEEPEST, False), (DEEPEST + 1, True)):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            text = opening * levels + "1" + closing * levels
            assert (json_depth(text.encode()) > DEEPEST) is is_refused
            assert is_too_deep(json.loads(text)) is is_refused


def test_a_million_quotes_or_escapes_are_read_like_any_text():
    deep, size = b"[" * (DEEPEST + 1), 1_000_000
    for text in (b'"' * size, b'"' + b"\\" * size, b'"\\' * size, b'"' + b'\\"' * size, b"[]" * size):
        assert json_depth(deep + text) == len(deep) + (text[:1] == b"[")
