"""CSV by columns, and row by row."""

import csv
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline.files.pieces
from pipeline.errors import PeekproofError
from pipeline.files.csv_rows import _Ids, _row_by_row
from pipeline.files.formats import pieces
from pipeline.files.titles import OfMessages
from schemas.topics import EVENTS
from tests.pipeline.analyzing import MINUTE, T, call, in_r, said_by, told, written

BUYERS = ("buyers", "live", "all")


@pytest.mark.parametrize(("like", "example"), [("{}.0".format, "99990.0"), (in_r, r"1e\+05")])
def test_a_column_of_a_csv_file_whose_ids_all_read_like_floats_is_told(
    tmp_path: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch, like: Callable[[int], str], example: str
) -> None:
    ids = range(99_990, 100_030)
    shown = [{"flag_key": "button", "variant": "control", "user_id": f"{i}", "time": T} for i in ids]
    bought = [{"event_type": "buy", "user_id": like(i), "time": T + MINUTE, "q": '"' * (i % 7)} for i in ids]
    files = ("--exposures", written(tmp_path / "x.csv", shown), "--events", written(tmp_path / "e.csv", bought))

    found = told("--catalog", catalog, "--experiment", "button", *files)

    (note,) = [note for note in found["notes"] if "reads like" in note]
    assert re.search(rf"e.csv': every `user_id` reads like {example}, as", note)
    (buyers,) = [c for c in found["experiments"][0]["cells"] if (c["metric"], c["reading"], c["segment"]) == BUYERS]
    assert buyers["control_sum"] == 40
    monkeypatch.setattr(pipeline.files.pieces, "PIECE", 200)
    bought[-1]["user_id"] = "ann"
    written(tmp_path / "e.csv", bought)
    with pytest.raises(PeekproofError, match=f"`user_id` is a number .* first rows, {example}, and"):
        call("--catalog", catalog, *files)


CELLS = ("", "a", "12", "-3.5e2", "true", 'x"y', "a,b", "l1\nl2", "é", "\\", '{"a":3}', "\t", '"', "1e5", "\x01")


TITLES = ("event_type", "time", "platform", "event_properties.price", "event_properties.q", "user_id")


class AnyColumns(OfMessages):
    """Some may be missing."""

    def _require(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("seed", range(30))
def test_columns_of_a_csv_file_say_what_its_rows_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    path, titles = tmp_path / "table.csv", TITLES[: chance.randrange(1, 7)]
    columns = AnyColumns(EVENTS, ())
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=chance.choice(["\n", "\r\n"]), quoting=chance.choice([0, 1]))
        writer.writerows([titles, *([chance.choice(CELLS) for _ in titles] for _ in range(30))])
    data = bytearray(path.read_bytes())
    for _ in range(chance.randrange(3)):  # somebody edited it by hand
        data[chance.randrange(len(",".join(titles)) + 20, len(data))] = chance.choice(b'"\xff,\n\ra')
    path.write_bytes(data.rstrip(b"\n") if chance.random() < 0.3 else data)

    with path.open("rb") as lines:
        expected = said_by(_row_by_row(_Ids(""), columns, [], lines, 1))
    monkeypatch.setattr(pipeline.files.pieces, "PIECE", chance.choice([40, 100, 1 << 24]))

    assert said_by(pieces(path, columns)) == expected
