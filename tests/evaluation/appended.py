"""Appended: what a fetch brings of a log that a test keeps as append times and values."""

from collections.abc import Sequence

import numpy as np

from schemas.records import Records
from schemas.topics import SourcePartition


def appended(source: SourcePartition, begin: int, some: Sequence[tuple[int, bytes]]) -> Records:
    """These (append time, value) of a source partition, from offset `begin` on."""
    length = np.array([len(value) for _, value in some], np.int64)
    return Records(
        topic=source[0],
        partition=source[1],
        begin=begin,
        end=begin + len(some),
        offset=np.arange(begin, begin + len(some)),
        append_time=np.array([time for time, _ in some], np.int64),
        start=np.cumsum(length) - length,
        length=length,
        data=memoryview(b"".join(value for _, value in some)),
    )
