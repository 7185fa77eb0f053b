"""Buckets of values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.columns.buckets import EXACT, bucket_of, ends_of

values = st.integers(0, 61).flatmap(lambda bits: st.integers(-(1 << bits), 1 << bits))


@given(values, values)
def test_a_bucket_holds_its_values_and_is_narrow_and_buckets_keep_the_order(x, y):
    low, high = (int(end[0]) for end in ends_of(np.array([bucket_of(x)])))

    assert low <= x <= high
    assert bucket_of(low) == bucket_of(high) == bucket_of(x) != bucket_of(high + 1)
    assert (high - low) * 256 < max(1, min(abs(low), abs(high)))
    assert low == high or abs(x) >= EXACT
    assert (bucket_of(x) <= bucket_of(y)) or x > y
    assert bucket_of(-x) == -bucket_of(x)
