"""JSON that people wrote: what would be lost is a fault with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.catalog.exact_json import JsonError, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_loses_nothing_is_read_as_it_is(value: object):
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": {"d": 0.1234567890123456789}}', "a.d: 0.1234567890123456789 would be read as the number 0.12345678901"),
        ('{"a": 1, "b": {"dup": 1, "dup": 2}}', "b.dup: stands here twice; keep one of the two"),
        ('{"a": [{"n": 1e400}]}', "a[0].n: 1e400 is too large for a number; write it in quotes, as a text"),
        ('{"a": ' + "9" * 5_000 + "}", "a: " + "9" * 60 + " is too large for a number"),
        ('{"a": 1e-400}', "a: 1e-400 would be read as the number 0.0"),
        ('{"a": 1e-99999999999999999999999}', "a: 1e-99999999999999999999999 would be read as the number 0.0"),
        ('{"a": ["\\ud83d"]}', "a[0]: the text has \\ud83d, half of a surrogate pair"),
        ('{"\\ud83d": 1}', "half of a surrogate pair"),
        ('{"a": NaN}', "is no JSON: NaN"),
        ('{"a": 1', "is no JSON: Expecting ',' delimiter (line 1, column 8)"),
    ],
)
def test_what_would_be_lost_is_a_fault_with_its_place(text: str, fault: str):
    with pytest.raises(JsonError) as refused:
        read_json(text.encode())

    assert fault in str(refused.value)


def test_every_fault_is_told_and_numbers_that_keep_their_value_are_none():
    with pytest.raises(JsonError) as refused:
        read_json(b'{"a": 1, "a": 2, "b": 0.12345678901234567890}')

    assert len(str(refused.value).splitlines()) == 2
    assert read_json(b'[1.50, 1e1, -0.0, 18446744073709551617, "\\ud83d\\ude00"]') == [1.5, 10, 0, 2**64 + 1, "😀"]
