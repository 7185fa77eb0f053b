"""What the columns of a table are taken for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.titles import OfMessages
from schemas.topics import EVENTS
from tests.pipeline.analyzing import MINUTE, T, call, ndjson, split, told, written


def test_columns_that_say_a_thing_twice_are_refused(tmp_path: Path, catalog: Path) -> None:
    (tmp_path / "twice.csv").write_text("event_type,event_properties,event_properties.price\n")

    with pytest.raises(PeekproofError, match=r"'event_properties.price' and 'event_properties'"):
        call("--catalog", catalog, "--events", tmp_path / "twice.csv")


SAME = {
    "v,v": "has the columns 'v' and 'v'",
    "v,V": "has the columns 'v' and 'V'",
    "event_properties.v,v": "has the columns 'event_properties.v' and 'v'",
    "V,EVENT_PROPERTIES.V": "has the columns 'V' and 'EVENT_PROPERTIES.V'",
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("titles", SAME)
def test_columns_that_would_be_one_property_are_refused(tmp_path: Path, titles: str, kind: str) -> None:
    names, path = ["event_type", "user_id", "time", *titles.split(",")], tmp_path / f"same.{kind}"
    if kind == "csv":
        path.write_text(",".join(names) + f"\nbuy,u,{T},1,2\n")
    else:
        columns = [pa.array([value]) for value in ("buy", "u", T, 1, 2)]
        pq.write_table(pa.Table.from_arrays(columns, names), path)

    with pytest.raises(PeekproofError, match=SAME[titles]):
        list(pieces(path, OfMessages(EVENTS, {("event_properties", "v")})))


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_what_is_not_read_beside_what_holds_it_is_told(tmp_path: Path, catalog: Path, kind: str) -> None:
    rows = [{"event_type": "buy", "user_id": "u0", "time": T + MINUTE, "event_properties": '{"price": 3}', "price": 7}]
    shown = ndjson(tmp_path / "x.ndjson", split("button", 2, 2))
    if kind == "csv":
        path, told_so = (
            written(tmp_path / "e.csv", rows),
            "column 'price' is not read, since 'event_properties' is there",
        )
    else:
        path = ndjson(tmp_path / "e.ndjson", [rows[0] | {"event_properties": {"price": 3}}])
        told_so = "`price` is not read in lines that have `event_properties`, which holds it"

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", shown, "--events", path)

    assert [note for note in found["notes"] if told_so in note]
    sums = {c["metric"]: c["control_sum"] / 10 ** c["scale"] for c in found["experiments"][0]["cells"]}
    assert sums["spent"] == 3
