"""The archive on a real directory: repeats, gaps, headers, quiet topics, compaction."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.durable import ABANDONED
from pipeline.settings import Settings
from pipeline.stages.archive import ArchiveStage
from pipeline.storage.archive import REPLACED_KEPT, Archive, write_empty
from pipeline.storage.archived import (
    ArchiveDamageError,
    ArchiveGapError,
    Expired,
    chain,
    expired,
    read,
    slices,
    standing,
)
from schemas.records import Headers, Records

MINUTE = 60_000
Row = tuple[int, int, Headers, bytes | None]  # offset, append time, headers, value


def records(rows: list[Row], begin: int | None = None, end: int | None = None, topic: str = "events") -> Records:
    """A slice as the transport makes it, built by other means."""
    data, start, length = bytearray(), [], []
    for _, _, _, value in rows:
        start.append(len(data))
        length.append(-1 if value is None else len(value))
        data += value or b""
    return Records(
        topic=topic,
        partition=3,
        begin=rows[0][0] if begin is None else begin,
        end=rows[-1][0] + 1 if end is None else end,
        offset=np.array([row[0] for row in rows], np.int64),
        append_time=np.array([row[1] for row in rows], np.int64),
        start=np.array(start, np.int64),
        length=np.array(length, np.int64),
        data=memoryview(bytes(data)),
        headers={at: row[2] for at, row in enumerate(rows) if row[2]},
    )


def log(n: int, step: int = 7_000) -> list[Row]:
    """A log with values of every kind; append times step back now and then, as a new leader's clock may."""
    rows: list[Row] = []
    for i in range(n):
        value = None if i % 11 == 5 else b"" if i % 13 == 4 else b'{"i":%d,"x":"%s"}' % (i, b"v" * (i % 17))
        headers: Headers = (("content-type", b"application/json"), ("trace", bytes([i % 256]))) if i % 5 == 2 else ()
        rows.append((i + i // 9, 1_000_000_000 + i * step - (9_000 if i % 23 == 7 else 0), headers, value))
    return rows


def write(directory: Path, rows: list[Row], cuts: list[int], **settings: int) -> None:
    archive = Archive(directory, **settings)
    for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        if begin < end:
            at = 0 if begin == 0 else rows[begin - 1][0] + 1
            archive.append(records(rows[begin:end], begin=at))


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "events" / "3").glob("*.parquet")}


def test_every_closed_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    rows = log(100)

    write(tmp_path, rows, [10, 50], interval_ms=MINUTE)
    back = list(read(tmp_path, "events", 3))

    assert len(back) > 80
    assert back == rows[: len(back)]


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(1, 119), max_size=6).map(sorted),
    restarts=st.lists(st.integers(1, 119), max_size=3).map(sorted),
    max_records=st.sampled_from([4, 9, 1000]),
)
def test_a_repeat_writes_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], restarts: list[int], max_records: int
) -> None:
    rows = log(120)
    whole, repeated = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("repeated")
    write(whole, rows, [], interval_ms=MINUTE, max_records=max_records)

    for stop in [*restarts, len(rows)]:
        archive = Archive(repeated, MINUTE, max_records)
        resume = archive.closed("events", 3) or 0
        left = [row for row in rows[:stop] if row[0] >= resume]
        for begin, end in zip([0, *cuts], [*cuts, len(left)], strict=True):
            if begin < end <= len(left):
                archive.append(records(left[begin:end], begin=resume if begin == 0 else left[begin - 1][0] + 1))
            elif begin < len(left) < end:
                archive.append(records(left[begin:], begin=resume if begin == 0 else left[begin - 1][0] + 1))

    assert files(repeated) == files(whole)


def test_a_quiet_partition_is_closed_by_its_clock(tmp_path: Path) -> None:
    archive = Archive(tmp_path, MINUTE)
    archive.append(records([(0, 100, (), b"a"), (1, MINUTE - 1, (), b"b")]))
    archive.advance("events", 3, MINUTE - 1)
    open_ = archive.closed("events", 3)
    archive.advance("events", 3, MINUTE)

    assert open_ == 0
    assert archive.closed("events", 3) == 2
    assert [row.value for row in read(tmp_path, "events", 3)] == [b"a", b"b"]


def test_records_that_are_held_already_are_skipped(tmp_path: Path) -> None:
    archive = Archive(tmp_path, MINUTE)
    archive.append(records(log(30)))
    archive.append(records(log(40)))
    archive.advance("events", 3, 10**12)

    assert list(read(tmp_path, "events", 3)) == log(40)


def test_a_slice_beyond_the_end_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path, MINUTE)
    archive.append(records([(0, 100, (), b"a")]))

    with pytest.raises(ArchiveGapError, match="events/3 reaches offset 1, but the log goes on at 5"):
        archive.append(records([(5, 200, (), b"b")]))


def test_it_goes_on_where_the_last_whole_file_ends_else_where_the_log_begins(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", MINUTE)
    archive.append(records([(0, 100, (), b"a"), (1, 10**9, (), b"b")]))

    def start(partition: int, earliest: int) -> int | None:
        return asyncio.run(ArchiveStage(Settings(data=tmp_path)).start_position(("events", partition), earliest))

    assert (start(3, 0), start(3, 1), start(4, 5)) == (1, 1, 5)


def test_a_gap_that_was_accepted_is_filled_by_a_file_without_records(tmp_path: Path) -> None:
    archive = Archive(tmp_path, MINUTE)
    archive.append(records([(0, 100, (), b"a"), (1, 10**9, (), b"b")]))
    archive.release("events", 3)

    archive.skip("events", 3, 7)
    archive.append(records([(7, 10**9, (), b"c"), (8, 2 * 10**9, (), b"d")]))

    assert [(record.offset, record.value) for record in read(tmp_path, "events", 3)] == [(0, b"a"), (7, b"c")]


def test_the_reader_finds_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path, log(100), [], interval_ms=MINUTE)
    chain(tmp_path, "events", 3)[2].path.unlink()

    with pytest.raises(ArchiveGapError, match="has a hole from offset 13 to 22"):
        list(read(tmp_path, "events", 3))


def test_records_are_read_as_columns_and_split_anywhere(tmp_path: Path) -> None:
    rows = log(120)
    write(tmp_path, rows, [], interval_ms=MINUTE)
    end = chain(tmp_path, "events", 3)[-1].end

    slices_ = list(slices(tmp_path, "events", 3, end - 7))

    assert [each.begin for each in slices_] == [0, *(each.end for each in slices_[:-1])]
    whole = [row for row in rows if row[0] < end - 7]
    assert [row for each in slices_ for row in rows_of(each)] == whole
    for each in slices_:
        for at in range(each.begin, each.end + 1):
            before, after = each.split(at)
            assert (before.begin, before.end, after.begin, after.end) == (each.begin, at, at, each.end)
            assert all(row[0] < at for row in rows_of(before))
            assert rows_of(before) + rows_of(after) == rows_of(each)


def rows_of(records: Records) -> list[Row]:
    offsets, times = records.offset.tolist(), records.append_time.tolist()
    return [
        (offset, time, records.headers.get(row, ()), records.value(row))
        for row, (offset, time) in enumerate(zip(offsets, times, strict=True))
    ]


def test_a_zombies_overlapping_file_is_not_read_twice(tmp_path: Path) -> None:
    rows = log(100)
    write(tmp_path, rows, [], interval_ms=MINUTE)
    second = chain(tmp_path, "events", 3)[1]
    table = pq.read_table(second.path)
    last = table["offset"][2].as_py() + 1
    pq.write_table(table[:3], second.path.with_name(f"{second.begin:016d}-{last:016d}-{second.interval}.parquet"))

    back = list(read(tmp_path, "events", 3))

    assert back == rows[: len(back)]


def test_compaction_keeps_the_records_and_bounds_the_files(tmp_path: Path) -> None:
    rows = log(600, step=300_000)  # 50 hours
    archive = Archive(tmp_path, MINUTE)
    archive.append(records(rows))
    before = list(read(tmp_path, "events", 3))

    archive.compact()
    kept = len(files(tmp_path))
    age(tmp_path, REPLACED_KEPT + 60)
    archive.compact()

    assert list(read(tmp_path, "events", 3)) == before
    assert kept > 590
    assert len(files(tmp_path)) < 30
    assert archive.closed("events", 3) == Archive(tmp_path, MINUTE).closed("events", 3)


def age(directory: Path, seconds: float) -> None:
    for path in (directory / "events" / "3").iterdir():
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_unfinished_files_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, log(50), [], interval_ms=MINUTE)
    before = list(read(tmp_path, "events", 3))
    (tmp_path / "events" / "3" / "0000000000000000-0000000000009999-0.parquet.abc.tmp").write_bytes(b"half")

    assert list(read(tmp_path, "events", 3)) == before


def test_compaction_deletes_what_killed_writers_left_unfinished(tmp_path: Path) -> None:
    archive = Archive(tmp_path, MINUTE)
    archive.append(records(log(50)))
    place = tmp_path / "events" / "3"
    (place / "of-the-dead.parquet.abc.tmp").write_bytes(b"half")
    age(tmp_path, ABANDONED + 60)
    (place / "of-a-zombie.parquet.abc.tmp").write_bytes(b"half")

    archive.compact()

    assert [path.name for path in place.glob("*.tmp")] == ["of-a-zombie.parquet.abc.tmp"]


def test_large_values_are_split_by_their_bytes(tmp_path: Path) -> None:
    rows: list[Row] = [(i, i, (), bytes([i]) * 1_000_000) for i in range(80)]
    whole, repeated = tmp_path / "whole", tmp_path / "repeated"

    write(whole, rows, [], interval_ms=MINUTE)
    write(repeated, rows, [1, 7, 34, 35, 50], interval_ms=MINUTE)

    assert [file.end for file in chain(whole, "events", 3)] == [34, 68]
    assert files(whole) == files(repeated)


def flip(path: Path) -> None:
    """Turn one bit over where the values stand."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_file_is_named_wherever_it_is_damaged(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write(tmp_path, log(100), [], interval_ms=MINUTE)
    second = chain(tmp_path, "events", 3)[1]

    damage(second.path)

    with pytest.raises(ArchiveDamageError, match=f"{second.path} is damaged .*archives once more"):
        list(read(tmp_path, "events", 3))


def test_what_is_gone_or_damaged_is_archived_once_more_from_the_log(tmp_path: Path) -> None:
    rows = log(700)
    write(tmp_path, rows, [], interval_ms=MINUTE)
    whole = files(tmp_path)
    missing = chain(tmp_path, "events", 3)[4]
    missing.path.unlink()

    with pytest.raises(ArchiveGapError, match=f"a hole from offset {missing.begin} to {missing.end}"):
        list(read(tmp_path, "events", 3))
    assert [file.path.name for file in standing(tmp_path, "events", 3)] == sorted({*whole} - {missing.path.name})
    archive = Archive(tmp_path, interval_ms=MINUTE)
    assert archive.start("events", 3, 0) == missing.begin
    archive.append(records([row for row in rows if row[0] >= missing.begin], begin=missing.begin))

    assert files(tmp_path) == whole
    assert len(chain(tmp_path, "events", 3)) == len(whole)


def test_compaction_sets_a_damaged_file_aside_and_the_next_worker_begins_there(tmp_path: Path) -> None:
    rows = log(1_500)
    archive = Archive(tmp_path, interval_ms=MINUTE)
    archive.append(records(rows))
    damaged = chain(tmp_path, "events", 3)[2]
    flip(damaged.path)

    with pytest.raises(ArchiveDamageError, match=str(damaged.path)):
        archive.compact()
    assert damaged.path.with_suffix(".damaged").exists()

    again = Archive(tmp_path, interval_ms=MINUTE)
    assert again.start("events", 3, 0) == damaged.begin
    again.append(records([row for row in rows if row[0] >= damaged.begin], begin=damaged.begin))
    again.compact()
    back = list(read(tmp_path, "events", 3))
    assert back == rows[: len(back)]
    assert len(back) > 1_400


def test_a_damaged_file_without_rows_is_written_again(tmp_path: Path) -> None:
    empty = write_empty(tmp_path)
    empty.write_bytes(b"half")

    assert pq.read_metadata(write_empty(tmp_path)).num_rows == 0


def test_what_is_older_than_is_kept_goes_and_says_so(tmp_path: Path) -> None:
    rows = log(300)
    now = rows[-1][1]
    keep = 10 * MINUTE
    for topic in ("events", "catalog"):
        archive = Archive(tmp_path, interval_ms=MINUTE)
        archive.append(records(rows, topic=topic))
        archive.expire(1 << 40, now)
        assert expired(tmp_path, topic, 3) is None
        before = chain(tmp_path, topic, 3)

        archive.expire(keep, now)
        archive.expire(keep, now)

        left = chain(tmp_path, topic, 3)
        if topic == "catalog":
            assert left == before
            continue
        oldest = now - keep - 1_000 * REPLACED_KEPT
        assert left == [file for file in before if file.interval + MINUTE > oldest]
        assert 0 < len(left) < len(before)
        assert expired(tmp_path, topic, 3) == Expired(left[0].begin, before[-len(left) - 1].interval)
        assert next(read(tmp_path, topic, 3)).offset == left[0].begin

        archive.expire(0, now + (1 << 40))
        assert chain(tmp_path, topic, 3) == before[-1:]
        assert Archive(tmp_path, interval_ms=MINUTE).start(topic, 3, 0) == before[-1].end
