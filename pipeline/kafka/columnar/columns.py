"""Columns: the record batches of one fetch response, read into `Records` without an object per record.

Theory of operation. A fetch response holds, per partition, whole record batches of Kafka's wire format v2 and perhaps a
part of one more (https://kafka.apache.org/documentation/#recordbatch). One kernel walks the batch headers. Python looks
at each batch once: checksum, codec, control and aborted batches. A second kernel walks the records, fills one column
per field and copies every value once, right behind the one before it. Records keep their own offsets (a compacted
batch has holes), and `end` follows the batches, so that control and aborted batches are passed over without being
missed.

Every length is checked against the bytes that are there: a malformed batch is an error that names its offset.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.record.util import calc_crc32c
from numba import njit
from numpy.typing import NDArray

from pipeline.kafka.columnar.errors import CorruptRecordsError
from schemas.records import Headers, RecordKeys, Records

HEADER_BYTES = 61  # of a batch, up to its records
CRC_FROM = 21  # the checksum covers a batch from its attributes on
SMALLEST_RECORD = 7  # length, attributes, two deltas, null key, null value, no headers
CODEC, APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20  # bits of a batch's attributes
DECODERS = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
ABORT = 0
MALFORMED = "its producer wrote a malformed batch; find it by its offset, and delete the records up to there"

# Columns of the table of batches.
AT, BYTES, BASE_OFFSET, MAGIC, CRC, ATTRIBUTES, LAST_DELTA, FIRST_TIME, MAX_TIME, PRODUCER, COUNT = range(11)


@njit(cache=True, nogil=True)
def _integer(b: NDArray[np.uint8], at: int, size: int) -> Any:
    """The signed big-endian integer of `size` bytes at `at`."""
    value = np.int64(b[at])
    if value > 127:
        value -= 256
    for i in range(at + 1, at + size):
        value = (value << 8) | b[i]
    return value


@njit(cache=True, nogil=True)
def _scan(b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The headers of the complete batches in `b`, one row each; an impossible length has magic -1 and is the last."""
    n = 0
    at = 0
    while at + 17 <= b.size:
        size = 12 + _integer(b, at + 8, 4)
        if size > b.size - at:
            break
        n += 1
        if size < 17:
            break
        at += size
    table = np.zeros((n, 11), np.int64)
    at = 0
    for i in range(n):
        row = table[i]
        row[AT] = at
        row[BYTES] = 12 + _integer(b, at + 8, 4)
        row[BASE_OFFSET] = _integer(b, at, 8)
        row[MAGIC] = _integer(b, at + 16, 1)
        if (row[BYTES] < HEADER_BYTES and row[MAGIC] >= 2) or row[BYTES] < 17:
            row[MAGIC] = -1
        if row[MAGIC] >= 2:
            row[CRC] = _integer(b, at + 17, 4) & 0xFFFFFFFF
            row[ATTRIBUTES] = _integer(b, at + 21, 2)
            row[LAST_DELTA] = _integer(b, at + 23, 4)
            row[FIRST_TIME] = _integer(b, at + 27, 8)
            row[MAX_TIME] = _integer(b, at + 35, 8)
            row[PRODUCER] = _integer(b, at + 43, 8)
            row[COUNT] = _integer(b, at + 57, 4)
        at += row[BYTES]
    return table


@njit(cache=True, nogil=True)
def _varint(b: NDArray[np.uint8], at: int, stop: int) -> tuple[Any, Any]:
    """A zigzag varint and the position behind it; a position beyond `stop` when it doesn't end before there."""
    shift = 0
    value = np.int64(0)
    while at < stop and shift < 64:
        x = np.int64(b[at])
        at += 1
        value |= (x & 0x7F) << shift
        if x < 128:
            return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), at
        shift += 7
    return np.int64(0), stop + 1


@njit(cache=True, nogil=True)
def _read(  # noqa: PLR0917, PLR0911
    raw: NDArray[np.uint8],
    unpacked: NDArray[np.uint8],
    batches: NDArray[np.int64],  # (m, 8): is unpacked, start, stop, records, base offset, base time, has deltas, end
    begin: int,
    offset: NDArray[np.int64],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    headed: NDArray[np.int64],  # (n, 4): row, batch, headers at, record's stop
    keyed: NDArray[np.int64],  # (n, 2): where the key is put, its bytes or -1; no rows: nobody asks for keys
    keys: NDArray[np.uint8],
    data: NDArray[np.uint8],
) -> tuple[int, int, int, int]:
    """Fill the columns with the records from `begin` on: rows, bytes of `data`, headed rows, malformed batch or -1.

    A batch is malformed that breaks one of these rules:

    1. A record says its size, and ends within its batch.
    2. Behind its attributes, a byte without a meaning yet, stand its time and its offset, counted from the batch's.
    3. Its key and its value end within it; those of a size below 0 are not there.
    4. Its headers are counted, and without any it ends there.
    5. Its offset lies in the batch, and beyond those of the records before it.
    6. Behind its last record a batch ends.
    """
    n = 0
    heads = 0
    out = 0
    keys_out = 0
    last = np.int64(begin - 1)
    for i in range(batches.shape[0]):
        b = unpacked if batches[i, 0] else raw
        at = batches[i, 1]
        stop = batches[i, 2]
        for _ in range(batches[i, 3]):
            size, at = _varint(b, at, stop)
            if at > stop or size < 0 or size > stop - at:  # 1
                return n, out, heads, i
            edge = at + size
            time_delta, at = _varint(b, at + 1, edge)  # 2
            offset_delta, at = _varint(b, at, edge)
            key, at = _varint(b, at, edge)
            if key > edge - at:  # 3
                return n, out, heads, i
            key_at = at
            value, at = _varint(b, at + max(key, 0), edge)
            if value > edge - at:  # 3
                return n, out, heads, i
            value_at = at
            headers_at = at + max(value, 0)
            headers, at = _varint(b, headers_at, edge)
            if at > edge or headers < 0 or (headers == 0 and at != edge):  # 4
                return n, out, heads, i
            at = edge
            position = batches[i, 4] + offset_delta
            if offset_delta < 0 or position >= batches[i, 7]:  # 5
                return n, out, heads, i
            if position < begin:
                continue
            if position <= last:  # 5
                return n, out, heads, i
            last = position
            offset[n] = position
            time[n] = batches[i, 5] + time_delta * batches[i, 6]
            start[n] = out
            length[n] = max(value, -1)
            if keyed.shape[0]:
                keyed[n, 0] = keys_out
                keyed[n, 1] = max(key, -1)
                for k in range(key):
                    keys[np.uint64(keys_out + k)] = b[np.uint64(key_at + k)]
                keys_out += max(key, 0)
            if headers:
                headed[heads, 0] = n
                headed[heads, 1] = i
                headed[heads, 2] = headers_at
                headed[heads, 3] = edge
                heads += 1
            for k in range(value):  # unsigned: an index that may be negative keeps this from being a memory copy
                data[np.uint64(out + k)] = b[np.uint64(value_at + k)]
            out += max(value, 0)
            n += 1
        if at != stop:  # 6
            return n, out, heads, i
    return n, out, heads, -1


@njit(cache=True, nogil=True)
def _headers(b: NDArray[np.uint8], at: int, stop: int) -> NDArray[np.int64]:
    """Where each header's key and value stand: (n, 4) key at, its bytes, value at, its bytes. No rows: malformed."""
    count, at = _varint(b, at, stop)
    if at > stop or count < 0 or count > stop - at:
        return np.empty((0, 4), np.int64)
    spans = np.empty((count, 4), np.int64)
    for i in range(count):
        key, at = _varint(b, at, stop)
        if at > stop or key < 0 or key > stop - at:
            return np.empty((0, 4), np.int64)
        spans[i, 0] = at
        spans[i, 1] = key
        value, at = _varint(b, at + key, stop)
        if at > stop or value > stop - at:
            return np.empty((0, 4), np.int64)
        spans[i, 2] = at
        spans[i, 3] = max(value, 0)
        at += spans[i, 3]
    return spans if at == stop else np.empty((0, 4), np.int64)


def read_columns(raw: memoryview, topic: str, partition: int, begin: int) -> Records:
    """The records from offset `begin` on in `raw`, the record batches of one fetch response.

    `raw` may begin before `begin` (a fetch returns whole batches) and may end within a batch, which is left for the
    next fetch. The records' `end` is behind the last complete batch; without any it is `begin`. A header without a
    value has an empty one.

    Raises CorruptRecordsError where a batch is malformed, fails its checksum or has a format older than v2.
    """
    return next(read_slices(raw, topic, partition, begin, size=len(raw) + 1))


def read_slices(  # noqa: PLR0917
    raw: memoryview,
    topic: str,
    partition: int,
    begin: int,
    size: int,
    aborted: Sequence[tuple[int, int]] = (),
    has_keys: bool = False,
) -> Iterator[Records]:
    """`read_columns` in slices, each of as many whole batches as fit into `size` bytes (compressed), at least one.

    `aborted` holds (producer id, first offset) of the aborted transactions that reach into the response, as the broker
    names them to a reader of committed records: their batches are passed over. Each slice begins where the one before
    it ends; a slice without records says that only its offsets have been read. `has_keys`: their keys are read
    too.
    """
    place = f"{topic}-{partition}"
    table = _scan(_array(raw))
    _check_format(table, place)
    carries = (table[:, ATTRIBUTES] & CONTROL) == 0
    if aborted:
        carries[_of_aborted(raw, table, aborted)] = False
    stops = table[:, AT] + table[:, BYTES]
    first = start = 0
    while True:
        last = max(first + 1, int(np.searchsorted(stops, start + size, "right")))
        batches = table[first:last]
        _check_sums(raw, batches, place)
        ends = batches[:, BASE_OFFSET] + batches[:, LAST_DELTA] + 1
        end = max(begin, int(ends[-1])) if len(ends) else begin
        yield _join(raw, batches[carries[first:last] & (ends > begin)], topic, partition, begin, end, has_keys)
        if last >= len(table):
            return
        begin, first, start = end, last, int(stops[last - 1])


def compile_kernels() -> None:
    """Compile the kernels, or load them from numba's cache: seconds in which a client would miss heartbeats."""
    read_columns(memoryview(b""), "", 0, 0)
    _headers(_array(b"\0"), 0, 1)


def _array(source: memoryview | bytes) -> NDArray[np.uint8]:
    """Bytes as a read-only array: one type for the kernels."""
    array = np.frombuffer(source, np.uint8)
    array.flags.writeable = False
    return array


def _check_format(table: NDArray[np.int64], place: str) -> None:
    strange = table[table[:, MAGIC] != 2]
    if not len(strange):
        return
    batch = strange[0]
    where = f"batch at offset {batch[BASE_OFFSET]} of {place}"
    if batch[MAGIC] in {0, 1}:
        raise CorruptRecordsError(
            f"{where} has record format v{batch[MAGIC]}, older than v2 of Kafka 0.11, and cannot be read;"
            " produce to a topic of a Kafka 4 cluster, which stores v2 only"
        )
    raise CorruptRecordsError(
        f"{where} has {batch[BYTES]} bytes and format {batch[MAGIC]}; the format must be 2 and a batch has 61 bytes"
        " or more: the log or the network damaged it"
    )


def _check_sums(raw: memoryview, batches: NDArray[np.int64], place: str) -> None:
    for at, size, crc, offset in batches[:, [AT, BYTES, CRC, BASE_OFFSET]].tolist():
        if calc_crc32c(raw[at + CRC_FROM : at + size]) != crc:
            raise CorruptRecordsError(
                f"batch at offset {offset} of {place} fails its checksum: the log or the network damaged it;"
                " check the broker's disk, and delete the records up to there when no replica can repair them"
            )


def _of_aborted(raw: memoryview, table: NDArray[np.int64], aborted: Sequence[tuple[int, int]]) -> list[int]:
    """The rows of the batches that belong to aborted transactions."""
    pending = sorted(aborted, key=lambda transaction: transaction[1], reverse=True)
    producers: set[int] = set()
    rows = []
    for row, batch in enumerate(table.tolist()):
        while pending and pending[-1][1] <= batch[BASE_OFFSET]:
            producers.add(pending.pop()[0])
        if batch[ATTRIBUTES] & CONTROL:
            if _is_abort(raw, batch):
                producers.discard(batch[PRODUCER])
        elif batch[ATTRIBUTES] & TRANSACTIONAL and batch[PRODUCER] in producers:
            rows.append(row)
    return rows


def _is_abort(raw: memoryview, batch: list[int]) -> bool:
    """Whether a control batch, one record with key (version int16, type int16), ends its transaction with an abort."""
    b = _array(raw)
    at = batch[AT] + HEADER_BYTES
    stop = batch[AT] + batch[BYTES]
    _, at = _varint(b, at, stop)
    _, at = _varint(b, at + 1, stop)
    _, at = _varint(b, at, stop)
    key, at = _varint(b, at, stop)
    if key < 4 or key > stop - at:
        raise CorruptRecordsError(f"control batch at offset {batch[BASE_OFFSET]} has a key of {key} bytes; it needs 4")
    return struct.unpack_from(">h", raw, at + 2)[0] == ABORT


def _unpack(codec: int, packed: bytes, where: str) -> bytes:
    if codec not in DECODERS:
        raise CorruptRecordsError(f"{where} is compressed with codec {codec}; known are gzip, snappy, lz4 and zstd")
    try:
        return DECODERS[codec](packed)
    except Exception as error:  # cramjam, gzip and zlib raise each their own
        raise CorruptRecordsError(f"{where} doesn't decompress ({error}): {MALFORMED}") from error


def _unpack_all(raw: memoryview, batches: NDArray[np.int64], spans: NDArray[np.int64], place: str) -> bytes:
    """The records of the compressed batches, one after another; where each stands is noted in its span."""
    parts = []
    at = 0
    for i in np.flatnonzero(batches[:, ATTRIBUTES] & CODEC).tolist():
        packed = bytes(raw[spans[i, 1] : spans[i, 2]])
        where = f"batch at offset {batches[i, BASE_OFFSET]} of {place}"
        part = _unpack(int(batches[i, ATTRIBUTES] & CODEC), packed, where)
        spans[i, :3] = 1, at, at + len(part)
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _headers_of(
    headed: NDArray[np.int64],
    offset: NDArray[np.int64],
    sources: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    spans: NDArray[np.int64],
    place: str,
) -> dict[int, Headers]:
    """The headers of the rows that have some, as `_read` found them."""
    headers: dict[int, Headers] = {}
    for row, i, headers_at, stop in headed.tolist():
        source = sources[spans[i, 0]]
        places = _headers(source, headers_at, stop).tolist()
        if not places:
            raise CorruptRecordsError(f"record at offset {offset[row]} of {place} has malformed headers: {MALFORMED}")
        headers[row] = tuple(
            (bytes(source[key : key + key_bytes]).decode(errors="replace"), bytes(source[value : value + value_bytes]))
            for key, key_bytes, value, value_bytes in places
        )
    return headers


def _join(  # noqa: PLR0917
    raw: memoryview, batches: NDArray[np.int64], topic: str, partition: int, begin: int, end: int, has_keys: bool
) -> Records:
    """The records of several batches as one `Records`."""
    place = f"{topic}-{partition}"
    attributes = batches[:, ATTRIBUTES]
    bases = batches[:, BASE_OFFSET]
    counts = batches[:, COUNT]
    append_time = (attributes & APPEND_TIME) != 0
    spans = np.empty((len(batches), 8), np.int64)  # as `_read` wants them
    spans[:, 0] = 0
    spans[:, 1] = batches[:, AT] + HEADER_BYTES
    spans[:, 2] = batches[:, AT] + batches[:, BYTES]
    spans[:, 3] = counts
    spans[:, 4] = bases
    spans[:, 5] = np.where(append_time, batches[:, MAX_TIME], batches[:, FIRST_TIME])
    spans[:, 6] = ~append_time
    spans[:, 7] = bases + batches[:, LAST_DELTA] + 1
    sources = (_array(raw), _array(_unpack_all(raw, batches, spans, place)))
    sizes = spans[:, 2] - spans[:, 1]
    wrong = np.flatnonzero((counts < 0) | (counts > sizes // SMALLEST_RECORD))
    if len(wrong):
        raise CorruptRecordsError(
            f"batch at offset {bases[wrong[0]]} of {place} says it has {counts[wrong[0]]} records in"
            f" {sizes[wrong[0]]} bytes: {MALFORMED}"
        )
    n = int(counts.sum())
    offset, time, start, length = (np.empty(n, np.int64) for _ in range(4))
    headed, keyed = np.empty((n, 4), np.int64), np.empty((n if has_keys else 0, 2), np.int64)
    data, keys = np.empty(int(sizes.sum()), np.uint8), np.empty(int(sizes.sum()) if has_keys else 0, np.uint8)
    n, size, heads, bad = _read(*sources, spans, begin, offset, time, start, length, headed, keyed, keys, data)
    if bad >= 0:
        raise CorruptRecordsError(
            f"batch at offset {bases[bad]} of {place} doesn't parse as {counts[bad]} records: {MALFORMED}"
        )
    return Records(
        topic=topic,
        partition=partition,
        begin=begin,
        end=end,
        offset=offset[:n],
        append_time=time[:n],
        start=start[:n],
        length=length[:n],
        data=data[:size].data,
        headers=_headers_of(headed[:heads], offset, sources, spans, place),
        keys=RecordKeys(keyed[:n, 0].copy(), keyed[:n, 1].copy(), keys.data) if has_keys else None,
        has_own_times=bool((~append_time & (counts > 0)).any()),
    )
