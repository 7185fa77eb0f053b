"""Wire: how a record names the schema that it was written by, as Confluent's serializers do it.

A byte 0, the schema's number in four bytes, most significant first, and what was serialized. (What names schemas in
headers, or numbers them in eight bytes, is something else.)
"""

import numpy as np

from evaluation.columns.arrays import Words
from evaluation.columns.texts import as_bytes
from schemas.records import Records

HEAD = 5  # bytes before what was serialized
NO_SCHEMA = -1
LARGEST_NUMBER = (1 << 31) - 1  # registries number schemas by int32


def schema_ids(records: Records, rows: Words) -> Words:
    """The number of the schema that each of these records names, or `NO_SCHEMA`; beyond `LARGEST_NUMBER` nobody's."""
    data, found = as_bytes(records.data), np.full(len(rows), NO_SCHEMA)
    long = np.flatnonzero(records.length[rows] >= HEAD)
    start = records.start[rows[long]]
    is_wired = data[start] == 0
    long, start = long[is_wired], start[is_wired]
    number = np.zeros(len(long), np.int64)
    for k in range(1, HEAD):
        number = number << 8 | data[start + k]
    found[long] = number
    return found
