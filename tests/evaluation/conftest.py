"""What the tests of the pure core share: a slice of records, made by hand."""

import numpy as np
import pytest
from hypothesis import Phase, settings

from schemas.records import Records

# Of a mutant one asks only whether it fails.
settings.register_profile("mutants", deadline=None, phases=[Phase.explicit, Phase.generate])


def make_records(rows, *, topic="events", partition=0, begin=None, end=None):
    """A slice as the transport makes it, from (offset, append time, value or None, headers) of each record."""
    data, start, length = bytearray(), [], []
    for _, _, value, _ in rows:
        start.append(len(data))
        length.append(-1 if value is None else len(value))
        data += value or b""
    offsets = [row[0] for row in rows]
    return Records(
        topic=topic,
        partition=partition,
        begin=begin if begin is not None else (offsets[0] if rows else 0),
        end=end if end is not None else (offsets[-1] + 1 if rows else 0),
        offset=np.array(offsets, np.int64),
        append_time=np.array([row[1] for row in rows], np.int64),
        start=np.array(start, np.int64),
        length=np.array(length, np.int64),
        data=memoryview(bytes(data)),
        headers={i: tuple(row[3]) for i, row in enumerate(rows) if row[3]},
    )


@pytest.fixture(scope="session")
def records_of():
    """The function that makes a slice of hand-written records."""
    return make_records
