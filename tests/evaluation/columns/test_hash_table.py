"""Hash table: whatever goes in and out is found where it is, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.columns.hash_table import add, first, following, number_of, refill, remove, slots_for

LAST = (1 << 32) - 1  # its home is the last slot, from which on the search goes on at the first
marks = st.sampled_from([1, 3, 1 << 30 | 1, LAST - 2, LAST])


def found(slots, mark):
    """The numbers that may have the fingerprint."""
    numbers = []
    p = first(slots, mark)
    while slots[p] != 0:
        numbers.append(int(number_of(slots[p])))
        p = following(slots, mark, p)
    return sorted(numbers)


@given(steps=st.lists(st.tuples(marks, st.booleans()), max_size=35))
def test_it_finds_what_was_added_and_not_removed_after_growing_too(steps):
    slots, held = np.zeros(slots_for(0), np.int64), {}
    for number, (mark, is_removal) in enumerate(steps):
        its = held.setdefault(mark, [])
        if is_removal and its:
            remove(slots, mark, its.pop(len(its) // 2))
        else:
            add(slots, mark, number)
            its.append(number)

    larger = np.zeros(2 * len(slots), np.int64)
    refill(slots, larger)

    for mark, its in held.items():
        assert found(slots, mark) == found(larger, mark) == sorted(its)
    assert np.count_nonzero(slots) == sum(map(len, held.values()))
