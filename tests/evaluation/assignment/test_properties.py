"""Columns of properties, whichever way their producers wrote them, say what one value says."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest

from evaluation.assignment.dead_letters import DeadLetters
from evaluation.assignment.decoding import decode
from evaluation.assignment.properties import PropertyColumn, satisfied
from evaluation.columns.scanning import Type, Wanted
from evaluation.columns.texts import Texts
from evaluation.flags.conditions import compile_condition
from evaluation.flags.values import subject_of

PLAN = ("user_properties", "plan")
WANTED = Wanted({("flag_key",): Type.TEXT, PLAN[:1]: Type.OBJECT, PLAN: Type.VALUE}, ("flag_key",))
VALUES = [
    "pro",
    "é\n",
    "",
    None,
    5,
    -2.5,
    1e300,
    True,
    ["a", "B"],
    {"a": [1]},
    [],
    '["x"]',
    "true",
    10**30,
    "[",
    "TRUE",
]
CONDITIONS = [
    compile_condition(op, values)
    for op, *values in (
        ("is", "pro", "5"),
        ("is not", "pro", "[", "x"),
        ("is", "true"),
        ("contains", "É", "r"),
        ("greater", "4"),
        ("set contains any", "a", "x"),
        ("regex match", "[a-z]+"),
        ("is not", "(none)"),
    )
]


def lines(values):
    return [json.dumps({"flag_key": "f", "user_properties": {"plan": value}}).encode() for value in values]


def columns_of(records_of, records):
    records = records_of([(i, 0, value, headers) for i, (value, headers) in enumerate(records)])
    pieces = decode(records, range(len(records)), WANTED, DeadLetters(records))
    return [PropertyColumn.of_json(piece.texts[PLAN]) for piece in pieces], pieces


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_column_of_json_is_asked_as_each_value_is(records_of, condition):
    expected = [condition.matches(subject_of(value)) for value in VALUES]
    plain = [(line, ()) for line in lines(VALUES)]
    odd = [(line.replace(b"flag_key", rb"fl\u0061g_key"), ()) for line in lines(VALUES)]

    for records in (plain, odd):
        columns, pieces = columns_of(records_of, records)
        by_row = {
            row: bool(met)
            for column, piece in zip(columns, pieces, strict=True)
            for row, met in zip(piece.row.tolist(), column.mask(condition), strict=True)
        }
        assert [by_row[row] for row in range(len(VALUES))] == expected


def test_a_column_of_arrow_is_asked_as_one_of_json(records_of):
    for values in (["pro", None, "x"], [5, None, 7], [2.5, None], [True, False], [["a"], None], [{"a": 1}]):
        sink = io.BytesIO()
        table = pa.table({"flag_key": ["f"] * len(values), "user_properties": [{"plan": value} for value in values]})
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)

        (column,), _ = columns_of(
            records_of, [(sink.getvalue(), [("content-type", b"application/vnd.apache.arrow.stream")])]
        )

        for condition in CONDITIONS:
            assert column.mask(condition).tolist() == [condition.matches(subject_of(value)) for value in values]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_column_of_texts_is_asked_as_each_text_is(condition):
    texts = [value for value in VALUES if value is None or isinstance(value, str)]

    assert PropertyColumn.of_texts(Texts.of(texts)).mask(condition).tolist() == [
        condition.matches(subject_of(text)) for text in texts
    ]


def test_all_conditions_must_hold_and_a_missing_column_is_a_missing_property():
    column = PropertyColumn.of_values([1, 2, 3])
    conditions = [
        (("n",), compile_condition("greater", ["1"])),
        (("n",), compile_condition("is not", ["3"])),
        (("gone",), compile_condition("is", ["(none)"])),
    ]

    assert satisfied(conditions, {("n",): column}, 3).tolist() == [False, True, False]
    assert satisfied([], {}, 2).tolist() == np.ones(2, bool).tolist()
