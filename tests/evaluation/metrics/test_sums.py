"""Sums: limbs against Python's integers."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import sums

LARGEST = (1 << 62) - 1
totals = st.one_of(st.integers(-3, 3), st.integers(-(1 << 47), 1 << 47), st.integers(-LARGEST, LARGEST))


def cells(k):
    return np.zeros(2 * sums.size(k), np.int64)


def expected(units, k):
    first = [sum(unit[i] for unit in units) for i in range(k)]
    second = [sum(unit[i] * unit[j] for unit in units) for i, j in combinations_with_replacement(range(k), 2)]
    return len(units), sum(unit[0] != 0 for unit in units), first, second


@pytest.mark.parametrize("k", [1, 2, 4])
@given(data=st.data())
def test_sums_are_those_of_unbounded_integers_and_what_is_taken_out_leaves_no_trace(k, data):
    units = st.lists(st.lists(totals, min_size=k, max_size=k), max_size=20)
    kept, taken = data.draw(units), data.draw(units)
    table = cells(k)
    at = int(sums.size(k))

    for unit in taken:
        sums.fold(table, at, np.array(unit), k, -1)
    for unit in kept + taken:
        sums.fold(table, at, np.array(unit), k, 1)

    assert sums.read(table[None, at:], k) == [expected(kept, k)]
    assert not table[:at].any()


@given(totals, totals, st.lists(totals))
def test_a_change_is_a_removal_and_an_addition(before, after, others):
    table = cells(1)
    for x in [*others, before]:
        sums.fold(table, 0, np.array([x]), 1, 1)

    sums.change(table, 0, before, after)

    assert sums.read(table[None, : sums.size(1)], 1) == [expected([[x] for x in [*others, after]], 1)]


def test_n01_sums_beyond_two_to_the_128_are_exact():
    table = cells(2)
    unit = np.array([-LARGEST, LARGEST])

    for _ in range(200_000):
        sums.fold(table, 0, unit, 2, 1)

    n, square = 200_000, 200_000 * LARGEST**2
    assert sums.read(table[None, : sums.size(2)], 2) == [(n, n, [-n * LARGEST, n * LARGEST], [square, -square, square])]
