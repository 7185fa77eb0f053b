"""Units: a message, encoded and decoded."""

import numpy as np
import pyarrow as pa
import pytest

from schemas.units import ROWS, Arm, Header, Source, decode_units, encode_units

HEADER = Header(7, 1000, [Source("events", 3, 10, 20, 99)], [Arm("f", "exp-1", 0, "a")], ['["buy",null,0]'])


def rows(n):
    """n rows of every column's own type."""
    return {field.name: np.arange(n).astype(field.type.to_pandas_dtype()) for field in ROWS}


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


@pytest.mark.parametrize("keep", [0, 1, 50, 200, -1])
def test_a_message_that_was_cut_is_refused(keep):
    message = encode_units(rows(5), HEADER)[:-20][:keep]

    with pytest.raises(ValueError, match=f"^{len(message)} bytes on `units` are not one Arrow record batch"):
        decode_units(message)


def test_another_schema_and_a_missing_header_are_refused():
    other = pa.record_batch({"a": [1]})
    bare = pa.RecordBatch.from_arrays([pa.array(column) for column in rows(5).values()], schema=ROWS)

    for batch, reason in ((other, "its columns are a int64"), (bare, "a header: ")):
        message = batch.schema.serialize().to_pybytes() + batch.serialize().to_pybytes()
        with pytest.raises(ValueError, match=reason):
            decode_units(message)
