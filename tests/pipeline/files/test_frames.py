"""Tables in memory, of whoever gives Arrow's stream: the same rows as in a Parquet file."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.frames import Frame, inputs
from pipeline.files.titles import OfMessages
from schemas.topics import EVENTS

READ = {("event_properties", name) for name in ("revenue", "is_gift", "coupon", "place")}
TABLE = pa.table(
    {
        "user_id": ["ann", "bob", "1.0"],
        "EVENT_TYPE": pa.array(["buy", "buy", "view"]).dictionary_encode(),
        "time": pa.array([1_764_000_000_123, 1_764_000_000_124, 1_764_000_000_125], pa.timestamp("ms", "UTC")),
        "revenue": [1.5, None, 1e-7],
        "is_gift": [True, False, None],
        "coupon": pa.nulls(3),
        "place": pa.array(["a", None, 'the "b"']).dictionary_encode(),
        "unread": [1, 2, 3],
    }
)


def rows(given: Any) -> list[str | None]:
    (one,) = inputs("events", given)
    (piece,) = pieces(one, OfMessages(EVENTS, READ))
    assert piece.line.tolist() == [1, 2, 3]
    ends = piece.length.cumsum()
    return [piece.data[end - size : end].decode() for end, size in zip(ends, piece.length, strict=True)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    path = tmp_path_factory.mktemp("frames") / "events.parquet"
    pq.write_table(TABLE, path)
    return rows(path)


@pytest.mark.parametrize(
    "frame",
    [TABLE, TABLE.to_reader(), TABLE.to_pandas(), pl.DataFrame(TABLE), duckdb.connect().from_arrow(TABLE)],
    ids=["arrow", "reader", "pandas", "polars", "duckdb"],
)
def test_a_frame_has_the_rows_of_a_file(frame: Any, expected: list[str | None]) -> None:
    assert rows(frame) == expected


def test_an_index_that_is_named_is_a_column() -> None:
    found = rows(TABLE.to_pandas().set_index("user_id"))

    assert all('"user_id":' in str(row) for row in found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (pl.LazyFrame(), "'events' is of type polars.lazyframe.frame.LazyFrame, which is no table; .collect() it"),
        (
            {"user_id": []},
            "'events' is of type dict, which is no table; give a table of pandas, polars, Arrow or DuckDB, or a path",
        ),
        ("nowhere.csv", "'nowhere.csv' is not there, and no file is called so"),
        ([TABLE, 3], "'events[1]' is of type int, which is no table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_way_out(given: Any, says: str) -> None:
    with pytest.raises(PeekproofError) as error:
        inputs("events", given)

    assert str(error.value).startswith(says)


def test_a_column_of_several_types_is_named() -> None:
    mixed = pd.DataFrame({"user_id": ["ann", ["bob"]], "event_type": "buy", "time": 1_764_000_000_000})

    with pytest.raises(PeekproofError, match=r"'events' cannot be read: .*user_id.*; give each column one type"):
        rows(mixed)


def test_files_may_be_named_by_a_pattern(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet"):
        pq.write_table(TABLE, tmp_path / name)

    assert inputs("events", str(tmp_path / "*.parquet")) == [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert [str(each) for each in inputs("events", (TABLE, TABLE))] == ["events[0]", "events[1]"]
    assert isinstance(inputs("events", TABLE)[0], Frame)
