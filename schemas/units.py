"""Units: what assignment tells aggregation. One message on `units` is one Arrow record batch (IPC stream) of rows.

A row is one thing that one unit did: it met an arm of a run, or one of its events feeds a fact. All rows of one source
record for one partition travel in one message. The message's `Header` stands in the schema's metadata.

Messages on `identities` are made alike: what assignment tells the identity stage, by the hash of the identity instead
of the unit's. A row says that an identity and a unit were seen together (a join), that the identity did something that
names no unit (a loose event), or that it met an arm through a unit.
"""

from collections.abc import Iterable, Mapping
from enum import IntFlag
from typing import Any, Literal

import msgspec
import pyarrow as pa
from numpy.typing import NDArray

from schemas.decoding import NoMessageError
from schemas.pair import Pair

HEADER = b"peekproof"


class RowKind(IntFlag):
    """Bits of the column `kind`."""

    EXPOSURE = 1  # else an event
    LATE = 2  # append time minus event time is beyond the horizon: counted, left out
    INACTIVE = 4  # an exposure of a run that took no entries, then or when it was appended: counted, left out
    FORCED = 8  # an exposure of a unit that an inclusion forced: not randomised, left out
    UNUSABLE = 16  # an event whose property is missing or no number: counted, left out
    OWN_ID = 32  # the record had no insert id; its position stands in
    JOIN = 64  # on `identities`: the identity and the unit whose hash is the value were seen together
    WITHDRAWN = 128  # an event that was told of this unit before is another's: it is taken back


SEGMENT_BITS = 6  # of an exposure's value, for each of its flag's breakdowns, the first one lowest:
# 0: the unit has none of the listed values; i + 1: it has the value of index i

ROWS = pa.schema(
    [
        pa.field("source", pa.uint16(), nullable=False),  # index into the header's sources
        pa.field("offset", pa.int64(), nullable=False),  # of the source record
        pa.field("kind", pa.uint8(), nullable=False),
        # Index into the header's arms (exposures), facts (events) or pairs (joins).
        pa.field("code", pa.uint16(), nullable=False),
        pa.field("unit", pa.uint64(), nullable=False),  # XXH64 of `type NUL id`; on `identities` that of the identity
        pa.field("time", pa.int64(), nullable=False),  # event time, ms UTC
        # XXH64 of the insert id, or of `topic/partition/offset/index`; of a loose event xor the identity's hash: two
        # people behind one unit may use the same insert id.
        pa.field("id", pa.uint64(), nullable=False),
        # An event's quantised value, 1 for a fact without property; BEYOND up or down stands for what lies beyond it.
        # An exposure's segments, see SEGMENT_BITS. Of a join and an exposure on `identities` the unit's hash.
        pa.field("value", pa.int64(), nullable=False),
    ]
)


class Source(msgspec.Struct, frozen=True, array_like=True):
    """What a message covers of one source partition: offsets in [begin, end); `watermark`: the append time reached."""

    topic: str
    partition: int
    begin: int
    end: int
    watermark: int  # ms UTC; 0: not known yet


class Arm(msgspec.Struct, frozen=True, array_like=True):
    """A variant under one allocation of one run of one flag. Allocations count from 0 within the run."""

    flag: str
    run: str
    allocation: int
    variant: str


class Joining(msgspec.Struct, frozen=True, array_like=True):
    """What became of people behind the units of a run, in one `partition` of `identities`, as totals.

    Loose events are counted once for each of the run's facts that they feed.
    """

    flag: str
    run: str
    partition: int
    unjoined: int = 0  # loose events of the run's time whose identity was joined too late, or never
    waiting: int = 0  # those that a join could still give to a unit
    moved: int = 0  # those that an earlier join took from one unit and gave to another
    crossed: int = 0  # identities that met two variants of one allocation through different units


class Example(msgspec.Struct, frozen=True, array_like=True):
    """Of the rows of a fact the newest value that is no number, or has more decimal places than are kept."""

    fact: str  # its key
    what: Literal["unusable", "rounded"]
    time: int  # of the event, ms UTC
    text: str  # the value as JSON, bounded in length; empty: it is missing


CameKind = Literal["run", "fact", "name"]


class Came(msgspec.Struct, frozen=True, array_like=True):
    """In which minutes of append time (since 1970) something came, of whatever partition.

    `run`: exposures that may be an entry, its key is FLAG/RUN; `fact`: events that feed it, unless they are late;
    `name`: events of that name, whether something counts them or not. Of names that nothing counts the
    most frequent of each slice are told.
    """

    what: CameKind
    key: str
    minutes: list[int]


class Header(msgspec.Struct, frozen=True):
    """`catalog` is the catalog offset that was in force for these rows (see evaluation.catalog.in_force); `horizon`
    in ms.

    `expected` says how many partitions each source topic has that is read, and `until` up to which time (ms UTC, a
    broker's) there were no others. No watermark of the message lies beyond it, for what was added since holds nothing
    older; while one of them has not been heard of, no clock moves. Of several messages the latest `until` counts. (A
    number: so many in all, of whatever topics.)

    `facts` are the keys of evaluation.catalog.in_force.Fact, of loose events as `loose` makes them; `arms`, `facts` and
    `pairs` (on `identities` alone) give the rows' codes a meaning.
    `examples` may be of rows of any partition. `came` stands in every message of the first partition, and in no other;
    what was told of a minute is seldom told again. `joining` stands where the identity stage tells the first partition.
    """

    catalog: int
    horizon: int
    sources: list[Source]
    arms: list[Arm]
    facts: list[str]
    expected: int | dict[str, int] = 0
    until: int = 0
    examples: list[Example] = []
    came: list[Came] | msgspec.UnsetType = msgspec.UNSET
    pairs: list[Pair] | msgspec.UnsetType = msgspec.UNSET
    joining: list[Joining] | msgspec.UnsetType = msgspec.UNSET


def newest(examples: Iterable[Example]) -> list[Example]:
    """Of each fact and kind the newest, whatever their order."""
    found: dict[tuple[str, str], Example] = {}
    for each in examples:
        known = found.setdefault((each.fact, each.what), each)
        if (each.time, each.text) > (known.time, known.text):
            found[each.fact, each.what] = each
    return [found[key] for key in sorted(found)]


_TYPES = [(column.name, column.type) for column in ROWS]
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Header)


def encode_units(rows: Mapping[str, NDArray[Any]] | pa.RecordBatch, header: Header) -> bytes:
    """One message: the columns of `ROWS` by name, each (n,), contiguous and of its type, or such a record batch.

    Without compression: Kafka compresses. (Schema and batch are written one by one: a stream writer
    takes three times as long.)
    """
    schema = ROWS.with_metadata({HEADER: _encoder.encode(header)})
    if not isinstance(rows, pa.RecordBatch):
        n = len(rows["unit"])
        columns = [pa.Array.from_buffers(kind, n, [None, pa.py_buffer(rows[name])]) for name, kind in _TYPES]
        rows = pa.RecordBatch.from_arrays(columns, schema=schema)
    return b"".join((schema.serialize(), rows.serialize(), _END_OF_STREAM))


def decode_units(message: bytes | memoryview) -> tuple[pa.RecordBatch, Header]:
    """The rows (views of `message`, nothing is copied) and the header of one message.

    Raises:
        NoMessageError: the bytes are not ours: no Arrow stream, or one without our header.
        ValueError: the message is ours, but of another version, or broken.
    """
    try:
        stream = pa.BufferReader(message)
        schema = pa.ipc.read_schema(pa.ipc.read_message(stream))
        is_ours = HEADER in (schema.metadata or {})
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise NoMessageError(f"its {len(message)} bytes are no Arrow stream: {error}") from error
    if not is_ours:
        raise NoMessageError("it is an Arrow stream without the header that the assignment stage writes")
    try:
        batch = pa.ipc.read_record_batch(pa.ipc.read_message(stream), schema)
        if not batch.schema.equals(ROWS):
            raise ValueError("its columns are " + ", ".join(f"{field.name} {field.type}" for field in batch.schema))
        return batch, _decoder.decode(schema.metadata[HEADER])
    except (pa.ArrowException, OSError, EOFError, msgspec.MsgspecError, ValueError) as error:
        raise ValueError(
            f"{len(message)} bytes on `units` are not one Arrow record batch with the columns of schemas.units.ROWS "
            f"and a header: {error}; whoever wrote them is not the assignment stage of this version"
        ) from error
