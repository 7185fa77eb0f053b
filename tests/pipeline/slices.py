"""Slices: records of one partition, as a stage is given them."""

import numpy as np

from schemas.records import Records


def records(topic: str, partition: int, begin: int, values: list[bytes], append_time: int = 0) -> Records:
    """What one fetch brought: these values on consecutive offsets, each with a header."""
    sizes = np.array([len(value) for value in values], np.int64)
    n = len(values)
    return Records(
        topic=topic,
        partition=partition,
        begin=begin,
        end=begin + n,
        offset=np.arange(begin, begin + n),
        append_time=np.full(n, append_time, np.int64),
        start=np.cumsum(sizes) - sizes,
        length=sizes,
        data=memoryview(b"".join(values)),
        headers=dict.fromkeys(range(n), (("x", b""),)),
    )
