"""Units: a message, encoded and decoded."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from schemas.decoding import NoMessageError
from schemas.units import ROWS, Arm, Header, Source, decode_units, encode_units

HEADER = Header(7, 1000, [Source("events", 3, 10, 20, 99)], [Arm("f", "exp-1", 0, "a")], ['["buy",null,0]'])


def rows(n):
    """n rows of every column's own type."""
    return {field.name: np.arange(n).astype(field.type.to_pandas_dtype()) for field in ROWS}


def stream(batch):
    """A record batch as an Arrow stream."""
    return batch.schema.serialize().to_pybytes() + batch.serialize().to_pybytes()


@pytest.mark.parametrize("n", [0, 1, 2000])
def test_a_message_comes_back_as_it_was(n):
    batch, header = decode_units(encode_units(rows(n), HEADER))

    assert header == HEADER
    assert batch.to_pydict() == {name: column.tolist() for name, column in rows(n).items()}


def test_a_record_batch_gives_the_same_bytes_as_its_columns():
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in rows(5).values()], schema=ROWS)

    assert encode_units(batch, HEADER) == encode_units(rows(5), HEADER)


def test_any_reader_of_arrow_streams_reads_a_message():
    assert pa.ipc.open_stream(encode_units(rows(5), HEADER)).read_all().schema.equals(ROWS)


def test_a_message_of_ours_that_was_cut_is_refused():
    message = encode_units(rows(5), HEADER)[:-21]

    with pytest.raises(ValueError, match=f"^{len(message)} bytes on `units` are not one Arrow record batch") as refused:
        decode_units(message)
    assert not isinstance(refused.value, NoMessageError)


def test_a_message_of_another_version_is_refused():
    batch = pa.record_batch({"a": [1]}, metadata={b"peekproof": msgspec.json.encode(HEADER)})

    with pytest.raises(ValueError, match="its columns are a int64") as refused:
        decode_units(stream(batch))
    assert not isinstance(refused.value, NoMessageError)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"hello",
        b'{"a":1}',
        b"\xff" * 8,
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 100,
        encode_units(rows(5), HEADER)[:200],
        stream(pa.record_batch({"a": [1]})),
        stream(pa.RecordBatch.from_arrays([pa.array(column) for column in rows(5).values()], schema=ROWS)),
    ],
)
def test_what_is_no_message_of_ours_is_told_as_that(value):
    with pytest.raises(NoMessageError):
        decode_units(value)
