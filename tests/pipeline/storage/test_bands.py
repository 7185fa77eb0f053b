"""Files whose records stand in row groups by their names: whoever reads them finds what stood there before."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.assignment.decoding import JSON, NDJSON
from evaluation.exploring.prefilter import Prefilter
from pipeline.storage import archive as writing
from pipeline.storage import bands
from pipeline.storage.archive import Archive
from pipeline.storage.archived import (
    SCHEMA,
    backwards,
    chain,
    excerpts,
    groups,
    offset_at,
    read,
    reading,
    records_of,
)
from pipeline.storage.bands import BandWriter
from schemas.duration import DAY_MS, HOUR_MS
from schemas.records import Headers
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.storage.test_archive import Row, records, rows_of

NAMES = ("buy", "search", "view", "zoom ü")
PARTITION = ("events", 3)
VALUES = (
    *(b'{"event_type":"%s","user_id":"u","n":%d}' % (name.encode(), n) for name in NAMES for n in range(3)),
    b'{"event_type":"b\\u0075y"}',
    b'{"event_type":"view","event_type":"buy"}',
    b'{"user_id":"u"}',
    b'{"event_type":7}',
    b"no JSON",
    b"",
    None,
)
HEADERS: tuple[Headers, ...] = (
    (),
    (),
    (("content-type", JSON.encode()), ("trace", b"buy")),
    (("Content-Type", NDJSON.encode()),),
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "GROUP_BYTES", 100)
    monkeypatch.setattr(writing, "MAX_BYTES", 1_500)


def log(kinds: list[tuple[int, int]]) -> list[Row]:
    return [(3 * i, HOUR_MS + i * 600_000, HEADERS[kind], VALUES[value]) for i, (value, kind) in enumerate(kinds)]


def archived(directory: Path, rows: list[Row]) -> Path:
    archive = Archive(directory, 60_000)
    archive.append(records(rows, begin=0))
    archive.advance(*PARTITION, rows[-1][1] + 3 * DAY_MS)
    archive.compact()
    archive.compact()  # days of hours
    return directory


KINDS = st.lists(st.tuples(st.integers(0, len(VALUES) - 1), st.integers(0, len(HEADERS) - 1)), min_size=1, max_size=200)


@given(KINDS, st.sets(st.sampled_from(NAMES)), st.integers(0, 650), st.integers(0, 650))
@settings(max_examples=60, deadline=None)
def test_who_asks_for_names_gets_all_records_that_may_have_them_and_knows_how_far_it_went(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[int, int]], names: set[str], begin: int, end: int
) -> None:
    rows = log(kinds)
    directory = archived(tmp_path_factory.mktemp("archive"), rows)
    asked = [row for row in rows if begin <= row[0] < end]

    assert [*read(directory, *PARTITION)] == rows
    found = [*excerpts(directory, *PARTITION, end=end, begin=begin, names=names)]

    told = [row for each in found for row in rows_of(each.records)]
    assert [row for row in told if row in asked] == told  # each once, in order
    assert sum(each.rows for each in found) == len(asked)
    prefilter = Prefilter(sorted(names))
    for row in asked:
        plain = (*row[:2], tuple(header for header in row[2] if header[0] != "trace"), row[3])
        assert row in told or not len(prefilter.of(records([plain])))
    ends = [each.records.end for each in found]
    assert ends == sorted(ends)
    assert [each.records.begin for each in found][1:] == ends[:-1]
    for each in found:
        last = max(row[0] for row in asked if row[0] < each.records.end)
        assert each.time == {row[0]: row[1] for row in asked}[last]


def test_of_other_names_nothing_is_unpacked(tmp_path: Path) -> None:
    rows = log([(3 * (i % len(NAMES)), 0) for i in range(400)])
    archived(tmp_path, rows)

    found = [*excerpts(tmp_path, *PARTITION, names=["view"])]
    none = [*excerpts(tmp_path, *PARTITION, names=["voyage"])]

    assert {row[3] for each in found for row in rows_of(each.records)} == {VALUES[6]}
    assert sum(len(each.records) for each in found) == 100
    assert [len(each.records) for each in none] == [0] * len(none)
    assert sum(each.rows for each in none) == len(rows)
    assert none[-1].time == rows[-1][1]


def test_names_of_exposures_are_flags_and_other_topics_stay_as_they_are(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 60_000)
    for topic in (EXPOSURES, "results"):
        flags = [b'{"flag_key":"%s","event_type":"x"}' % name for name in (b"one", b"two") * 100]
        archive.append(records([(i, i * 60_000, (), each) for i, each in enumerate(flags)], topic=topic))
        archive.advance(topic, 3, 3 * DAY_MS)
    archive.compact()

    found = [*excerpts(tmp_path, EXPOSURES, 3, names=["two"])]
    others = [*excerpts(tmp_path, "results", 3, names=["two"])]

    assert [sum(len(each.records) for each in some) for some in (found, others)] == [100, 200]


@given(KINDS, st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_whoever_asks_for_times_or_places_finds_them(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[int, int]], at: int
) -> None:
    rows = log(kinds)
    directory = archived(tmp_path_factory.mktemp("archive"), rows)
    time = HOUR_MS + at * 600_000

    begin = offset_at(directory, *PARTITION, time)

    assert all(row[1] < time for row in rows if row[0] < begin)
    assert [row for each in groups(directory, *PARTITION) for some in records_of(each) for row in rows_of(some)] == rows
    newest = [row for each in backwards(directory, [EVENTS], time) for row in rows_of(each)]
    assert {row for row in rows if row[1] >= time} <= set(newest)
    assert len(newest) == len(set(newest))


def test_row_groups_that_overlap_only_through_a_third_one_are_one_band(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    with pq.ParquetWriter(path, SCHEMA, write_statistics=["offset", "append_time"]) as writer:
        for offsets in ([0, 10], [20, 30], [5, 25], [40, 41]):
            columns = {"offset": offsets, "append_time": offsets, "headers": [[], []], "value": [b"a", b"b"]}
            writer.write_table(pa.table(columns, SCHEMA))

    with reading(path) as parquet:
        found = [(each.row_groups, each.begin, each.end, each.rows, each.time) for each in bands.bands(parquet)]

    assert found == [((0, 1, 2), 0, 31, 6, 30), ((3,), 40, 42, 2, 41)]


def test_more_rows_than_a_row_group_holds_are_several_of_the_same_names(tmp_path: Path) -> None:
    n = bands.GROUP_ROWS + 100_000
    nothing = pa.ListArray.from_arrays(
        pa.array(np.zeros(n + 1, np.int32)), pa.array([], SCHEMA.field("headers").type.value_type)
    )
    table = pa.table([np.arange(n), np.arange(n), nothing, pa.nulls(n, pa.binary())], schema=SCHEMA)
    path = tmp_path / "file.parquet"
    with pq.ParquetWriter(path, SCHEMA, **writing.WRITING) as writer:
        writes = BandWriter(writer, EVENTS)
        writes.write(table)
        writes.close()

    with reading(path) as parquet:
        assert parquet.num_row_groups == 2
        assert [bands.that_may_hold(parquet, each, ["buy"]) for each in bands.bands(parquet)] == [(0,), (1,)]


def test_files_of_before_are_read_whole_until_they_are_compacted(tmp_path: Path) -> None:
    rows = log([(3 * (i % len(NAMES)), 0) for i in range(40)])
    archive = Archive(tmp_path, 60_000)
    archive.append(records(rows, begin=0))
    archive.advance(*PARTITION, rows[-1][1] + 3 * DAY_MS)
    place = chain(tmp_path, *PARTITION)
    tables = [pq.read_table(file.path) for file in place]
    merged = place[0].path.with_name(place[0].path.name.replace(f"-{place[0].end:016d}-", f"-{place[-1].end:016d}-"))
    pq.write_table(pa.concat_tables(tables), merged, **writing.WRITING)

    found = [*excerpts(tmp_path, *PARTITION, names=["view"])]

    assert [file.path for file in chain(tmp_path, *PARTITION)] == [merged]
    assert [row for each in found for row in rows_of(each.records)] == rows
