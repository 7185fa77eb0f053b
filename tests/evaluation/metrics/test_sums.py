"""Sums: two limbs against Python's integers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics import sums

totals = st.one_of(st.integers(-3, 3), st.integers(-(1 << 47) + 1, (1 << 47) - 1))


def cells():
    return np.zeros((2, sums.WORDS), np.int64)


def read(cell):
    return (int(cell[sums.N]), int(cell[sums.NONZERO]), sums.exact(cell, sums.SUM), sums.exact(cell, sums.SQUARES))


def expected(numbers):
    return len(numbers), sum(x != 0 for x in numbers), sum(numbers), sum(x * x for x in numbers)


@settings(deadline=None)  # the first call compiles
@given(st.lists(totals, max_size=50))
def test_sums_are_those_of_unbounded_integers(numbers):
    table = cells()

    for x in numbers:
        sums.add(table, 1, x)

    assert read(table[1]) == expected(numbers)
    assert not table[0].any()


@settings(deadline=None)  # the first call compiles
@given(st.lists(totals, max_size=30), st.lists(totals, max_size=30))
def test_what_is_taken_out_leaves_no_trace(kept, taken):
    table = cells()

    for x in taken:
        sums.remove(table, 1, x)
    for x in kept + taken:
        sums.add(table, 1, x)

    assert read(table[1]) == expected(kept)


@settings(deadline=None)  # the first call compiles
@given(totals.filter(lambda x: abs(x) < 1 << 31), totals.filter(lambda x: abs(x) < 1 << 31), st.lists(totals))
def test_a_change_is_a_removal_and_an_addition(before, after, others):
    table = cells()
    for x in [*others, before]:
        sums.add(table, 0, x)

    sums.change(table, 0, before, after)

    assert read(table[0]) == expected([*others, after])


def test_sums_beyond_two_to_the_64_are_exact():
    table = cells()
    largest = (1 << 47) - 1

    for _ in range(200_000):
        sums.add(table, 0, -largest)

    assert read(table[0]) == (200_000, 200_000, -200_000 * largest, 200_000 * largest**2)
