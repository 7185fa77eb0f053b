"""Parquet: times of any kind."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.files.formats import pieces
from pipeline.files.titles import OfMessages
from schemas.topics import EVENTS
from tests.pipeline.analyzing import T


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Vienna"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_are_read(tmp_path: Path, unit: str, zone: str | None) -> None:
    """As pandas writes them by pyarrow: its own unit is nanoseconds."""
    moments = [T, None, T + 1_000] if unit == "s" else [T, None, T + 1_999]
    fine = 999_999 if unit == "ns" else 999 if unit == "us" else 0
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([each and each * per_second // 1000 + fine for each in moments], pa.int64())
    times = times.cast(pa.timestamp(unit, zone))
    columns = {
        "event_type": pa.array(["buy", "view", "buy"], pa.large_string()).dictionary_encode(),
        "user_id": pa.array(["u", "v", "w"]),
        "event_properties": pa.array([{"at": None}] * 3, pa.struct({"at": times.type})),
    }
    several = {"plain": times, "dictionary": times.dictionary_encode()}

    for name, column in several.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns | {"time": column}), path)
        (piece,) = pieces(path, OfMessages(EVENTS, ()))

        rows = msgspec.json.decode(b"[" + piece.data.replace(b"}{", b"},{") + b"]")
        assert [row["time"] for row in rows] == moments
        assert [row["event_type"] for row in rows] == ["buy", "view", "buy"]
