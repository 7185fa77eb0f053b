"""Packing: named arrays as bytes, and back: the form of a checkpoint."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[np.int64]], metadata: dict[bytes, bytes]) -> bytes:
    """Named arrays as one Arrow IPC stream: one row, each array a list (its shape is lost)."""
    columns = {
        name: pa.LargeListArray.from_arrays(np.array([0, array.size]), pa.array(array.reshape(-1)))
        for name, array in arrays.items()
    }
    schema = pa.schema([(name, pa.large_list(pa.int64())) for name in columns], metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))
    return sink.getvalue().to_pybytes()


def unpack(data: bytes) -> tuple[dict[str, NDArray[np.int64]], dict[bytes, bytes]]:
    """The inverse of `pack`; the arrays are flat and read-only."""
    with pa.ipc.open_stream(data) as stream:
        batch = stream.read_next_batch()
        metadata = dict(stream.schema.metadata)
    return {name: batch.column(name).values.to_numpy() for name in batch.schema.names}, metadata


def read_metadata(data: bytes) -> dict[bytes, bytes]:
    """What `pack` was given beside the arrays."""
    with pa.ipc.open_stream(data) as stream:
        return dict(stream.schema.metadata)
