"""Kernels: compiled ahead, so that nobody who asks waits for a compiler."""

import numpy as np

from evaluation.exploring.prefilter import Prefilter, SoughtUnits
from evaluation.exploring.slice_sums import slice_sums
from schemas.records import Records
from schemas.topics import EVENTS


def compile_kernels() -> None:
    """Run the kernels of exploring, with the types that the archive gives them."""
    value = b'{"event_type":"view","user_id":"u1"}'
    one = np.array([0], np.int64)
    records = Records(EVENTS, 0, 0, 1, one, one, one, one + len(value), memoryview(value))
    Prefilter(["view"], "user_id", SoughtUnits(np.zeros(1, np.uint64))).of(records)
    slice_sums(np.zeros((1, 1), np.int64), one, 1)
