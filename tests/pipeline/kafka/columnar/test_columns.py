import itertools
import struct

import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kafka.columnar.columns import read_columns, read_slices
from pipeline.kafka.columnar.errors import CorruptRecordsError

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(records, base=0, codec=0, *, producer=-1, attributes=0, max_time=None, next_offset=None):
    """One record batch as a broker stores it: `records` are (offset delta, time, key, value, headers)."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for delta, time, key, value, headers in records:
        builder.append(delta, time, key, value, headers)
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    (own,) = struct.unpack_from(">h", raw, 21)
    struct.pack_into(">h", raw, 21, own | attributes)
    if next_offset is not None:
        struct.pack_into(">i", raw, 23, next_offset - base - 1)
    if max_time is not None:
        struct.pack_into(">q", raw, 35, max_time)
    return seal(raw)


def seal(raw):
    """The batch with the checksum that fits it."""
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def plain(values, **stored):
    return batch([(i, 1_000 + i, None, value, []) for i, value in enumerate(values)], **stored)


def control(base, producer, kind):
    """A control batch: the marker that ends a transaction (0 abort, 1 commit)."""
    return batch(
        [(0, 1_000, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0), [])],
        base=base,
        producer=producer,
        attributes=0x30,
    )


def read(raw, begin=0):
    return read_columns(memoryview(raw), "events", 3, begin)


def keys_of(records):
    start, length, data = records.keys.start, records.keys.length, records.keys.data
    return [None if n < 0 else bytes(data[at : at + n]) for at, n in zip(start.tolist(), length.tolist(), strict=True)]


def values_of(records):
    return [records.value(row) for row in range(len(records))]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_records_of_every_codec_are_read_as_columns(codec):
    values = [b'{"n":%d,"text":"%s"}' % (i, b"x" * 50) for i in range(100)]

    records = read(plain(values, base=500, codec=codec), begin=500)

    assert (records.topic, records.partition, records.begin, records.end) == ("events", 3, 500, 600)
    assert records.offset.tolist() == list(range(500, 600))
    assert records.append_time.tolist() == list(range(1_000, 1_100))
    assert values_of(records) == values
    assert bytes(records.data) == b"".join(values)


def test_batches_of_several_codecs_in_one_response_are_joined():
    parts = [plain([b'"%d"' % (10 * i + j) * 9 for j in range(10)], base=10 * i, codec=i % 5) for i in range(11)]

    records = read(b"".join(parts))

    assert records.offset.tolist() == list(range(110))
    assert values_of(records) == [b'"%d"' % i * 9 for i in range(110)]


def test_null_and_empty_values_take_no_bytes():
    records = read(plain([None, b"", b"0", None]))

    assert bytes(records.data) == b"0"
    assert values_of(records) == [None, b"", b"0", None]
    assert records.length.tolist() == [-1, 0, 1, -1]


def test_a_value_with_headers_stands_among_the_others():
    arrow = [("content-type", b"application/vnd.apache.arrow.stream"), ("trace", None), ("", b"")]
    records = read(
        batch(
            [
                (0, 1_000, b"key", b"{}", []),
                (1, 1_000, b"key", b"\x00binary", arrow),
                (2, 1_000, None, None, [("é", b"1")]),
                (3, 1_000, None, b"more", [("a", b"b")]),
            ],
            codec=3,
        )
    )

    assert bytes(records.data) == b"{}\x00binarymore"
    assert values_of(records) == [b"{}", b"\x00binary", None, b"more"]
    assert records.headers == {
        1: (("content-type", b"application/vnd.apache.arrow.stream"), ("trace", b""), ("", b"")),
        2: (("é", b"1"),),
        3: (("a", b"b"),),
    }


def test_log_append_time_is_the_batch_s_for_every_record():
    producers_clock = [(0, 10, None, b"1", []), (1, 99_999_999, None, b"2", [])]

    records = read(batch(producers_clock, attributes=0x08, max_time=1_700_000_000_000))

    assert records.append_time.tolist() == [1_700_000_000_000] * 2
    assert not records.has_own_times


def test_times_of_producers_are_told_as_such():
    theirs, brokers = plain([b"1", b"2"]), plain([b"3"], base=2, attributes=0x08, max_time=1_700_000_000_000)

    assert read(theirs + brokers).has_own_times
    assert not read(theirs + brokers, begin=2).has_own_times
    assert not read(b"").has_own_times


def test_keys_come_where_somebody_asks_for_them():
    rows = [
        (0, 1_000, b"k0", b"0", []),
        (1, 1_000, None, b"1", [("a", b"b")]),
        (2, 1_000, b"", None, []),
        (3, 1_000, "ключ".encode(), b"3", [("a", b"b")]),
        (4, 1_000, None, b"4", []),
    ]
    raw = memoryview(batch(rows, codec=3))

    (records,) = read_slices(raw, "orders", 0, 0, len(raw), has_keys=True)

    assert values_of(records) == [b"0", b"1", None, b"3", b"4"]
    assert records.headers == {1: (("a", b"b"),), 3: (("a", b"b"),)}
    assert keys_of(records) == [b"k0", None, b"", "ключ".encode(), None]
    assert [keys_of(each) for each in records.split(3)] == [[b"k0", None, b""], ["ключ".encode(), None]]
    assert read(raw).keys is None


def test_positions_come_from_the_offsets_and_the_end_from_the_batch_where_compaction_left_holes():
    holes = [(2, 1_000, b"a", b"1", []), (5, 1_000, b"b", b"2", [])]

    records = read(batch(holes, base=100, next_offset=110), begin=95)

    assert records.offset.tolist() == [102, 105]
    assert (records.begin, records.end) == (95, 110)


def test_records_before_the_position_asked_for_are_dropped():
    records = read(plain([b"%d" % i for i in range(5)], base=10) + plain([b"5"], base=15), begin=13)

    assert records.offset.tolist() == [13, 14, 15]
    assert values_of(records) == [b"3", b"4", b"5"]
    assert bytes(records.data) == b"345"


def test_a_batch_that_ends_before_the_position_asked_for_does_not_move_it_back():
    records = read(plain([b"1", b"2"], base=10), begin=40)

    assert len(records) == 0
    assert (records.begin, records.end, bytes(records.data)) == (40, 40, b"")


@pytest.mark.parametrize("missing", [1, 30, 70, 83, 90])
def test_a_partial_batch_at_the_tail_is_left_for_the_next_fetch(missing):
    whole, cut = plain([b"1", b"2"]), plain([b"3" * 30], base=2)
    assert missing < len(cut)

    records = read(whole + cut[:-missing])

    assert values_of(records) == [b"1", b"2"]
    assert records.end == 2


def test_without_a_complete_batch_nothing_is_read():
    records = read(plain([b"1" * 300])[:-1], begin=7)

    assert (len(records), records.begin, records.end) == (0, 7, 7)
    assert read(b"", begin=7).end == 7


def test_control_batches_are_passed_over():
    records = read(plain([b"1"]) + control(1, producer=9, kind=1) + plain([b"2"], base=2) + control(3, 9, 1))

    assert values_of(records) == [b"1", b"2"]
    assert records.offset.tolist() == [0, 2]
    assert records.end == 4


def test_batches_of_aborted_transactions_are_passed_over_up_to_their_marker():
    raw = b"".join(
        [
            plain([b"mine"], base=0, producer=7, attributes=0x10),
            plain([b"lost"], base=1, producer=9, attributes=0x10),
            plain([b"outside"], base=2, producer=9),
            control(3, producer=9, kind=0),
            plain([b"next"], base=4, producer=9, attributes=0x10),
            control(5, producer=7, kind=1),
            plain([b"again"], base=6, producer=9, attributes=0x10),
        ]
    )

    for size in (1, 150, 10_000):
        slices = list(read_slices(memoryview(raw), "events", 0, 0, size, aborted=[(9, 6), (9, 1)]))

        assert [value for records in slices for value in values_of(records)] == [b"mine", b"outside", b"next"]
        assert slices[-1].end == 7


def test_slices_chain_and_hold_whole_batches_up_to_the_size():
    parts = [plain([b"%d" % i * 40], base=i) for i in range(10)]
    size = len(parts[0]) * 3

    slices = list(read_slices(memoryview(b"".join(parts)), "events", 0, 2, size))

    assert [(records.begin, records.end) for records in slices] == [(2, 3), (3, 6), (6, 9), (9, 10)]
    assert [len(records) for records in slices] == [1, 3, 3, 1]


def test_a_slice_without_records_still_moves_the_position():
    raw = plain([b"1"]) + control(1, 9, 1)

    first, second = read_slices(memoryview(raw), "events", 0, 0, 1)

    assert (len(first), first.end) == (1, 1)
    assert (len(second), second.begin, second.end) == (0, 1, 2)


@pytest.mark.parametrize("codec", [0, 4])
def test_huge_values_are_read(codec):
    huge = bytes(np.random.default_rng(1).integers(35, 90, 16_000_000, np.uint8))

    records = read(plain([b"1", huge, b"2"], codec=codec))

    assert records.value(1) == huge
    assert records.value(2) == b"2"


def test_a_damaged_batch_is_refused_by_its_checksum():
    raw = bytearray(plain([b"1"]) + plain([b"12345678"], base=1))
    raw[-4] ^= 1

    with pytest.raises(CorruptRecordsError, match="batch at offset 1 of events-3 fails its checksum"):
        read(bytes(raw))


def test_formats_before_v2_are_refused():
    legacy = struct.pack(">qiIbbqi", 5, 22, 0, 1, 0, 1_000, -1) + struct.pack(">i", -1)

    with pytest.raises(CorruptRecordsError, match="offset 5 of events-3 has record format v1"):
        read(legacy)


@pytest.mark.parametrize("size", [-2147483648, -13, -12, 0, 4, 5, 48])
def test_a_length_that_cannot_be_is_refused(size):
    raw = bytearray(plain([b"1"]))
    struct.pack_into(">i", raw, 8, size)

    with pytest.raises(CorruptRecordsError, match="batch at offset 0 of events-3"):
        read(bytes(raw))


def test_an_unknown_codec_and_a_broken_one_are_refused():
    with pytest.raises(CorruptRecordsError, match="codec 7"):
        read(plain([b"1"], attributes=0x07))
    with pytest.raises(CorruptRecordsError, match="doesn't decompress"):
        read(plain([b"1" * 100], attributes=0x01))


HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3)
RECORD = st.tuples(
    st.integers(1, 4),
    st.integers(-(2**40), 2**40),
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=300),
    st.just([]) | HEADERS,
)
BATCH = st.tuples(
    st.lists(RECORD, min_size=1, max_size=8), st.sampled_from(list(CODECS.values())), st.booleans(), st.booleans()
)


@settings(max_examples=150)
@given(st.lists(BATCH, max_size=6), st.integers(0, 200), st.integers(0, 40), st.integers(1, 400))
def test_columns_say_what_aiokafka_s_records_say(batches, cut, begin, size):
    raw, base = b"", 0
    for records, codec, is_append_time, is_control in batches:
        position, placed = -1, []
        for gap, time, key, value, headers in records:
            position += gap
            placed.append((position, time, key, value, headers))
        raw += batch(placed, base, codec, attributes=0x08 * is_append_time | 0x20 * is_control, max_time=12_345)
        base += position + 1
    raw = raw[: max(len(raw) - cut, 0)]

    expected, end = [], begin
    theirs = MemoryRecords(raw)
    while theirs.has_next():
        each = theirs.next_batch()
        assert each.validate_crc()
        end = max(end, each.next_offset)
        if not each.is_control_batch:
            expected += [
                (r.offset, r.timestamp, r.value, tuple((k, v or b"") for k, v in r.headers))
                for r in each
                if r.offset >= begin
            ]
    slices = list(read_slices(memoryview(raw), "events", 3, begin, size))
    whole = read(raw, begin)

    for ours in (slices, [whole]):
        assert [row for records in ours for row in rows_of(records)] == expected
        assert (ours[0].begin, ours[-1].end) == (begin, end)
        assert all(a.end == b.begin for a, b in itertools.pairwise(ours))


def rows_of(records):
    for row in range(len(records)):
        yield (
            int(records.offset[row]),
            int(records.append_time[row]),
            records.value(row),
            records.headers.get(row, ()),
        )


@settings(max_examples=300)
@given(st.lists(RECORD, min_size=1, max_size=4), st.data())
def test_malformed_records_under_a_right_checksum_are_refused_or_read_but_never_overrun(records, data):
    raw = bytearray(batch([(i, *rest) for i, (_, *rest) in enumerate(records)]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(57, len(raw) - 1))] = data.draw(st.integers(0, 255))
    sealed = seal(raw)

    try:
        ours = list(rows_of(read(sealed)))
    except CorruptRecordsError:
        return

    try:
        theirs = [record.value for record in DefaultRecordBatch(sealed)]
    except (CorruptRecordException, UnicodeDecodeError):  # it reads the attributes byte as a varint, and strict UTF-8
        return
    assert [row[2] for row in ours] == theirs
