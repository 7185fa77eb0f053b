"""What kernels rely on in numba and llvmlite, private parts included: an upgrade that changes it fails here."""

import inspect
from importlib.metadata import version

import numpy as np
from numba import njit
from numba.core import cgutils

from evaluation.columns.memory import byte_at, copy, half_at, trailing_zeros, word_at

DATA = np.arange(1, 25, dtype=np.uint8)


@njit
def _read(data, at):
    return byte_at(data, at), half_at(data, at), word_at(data, at)


@njit
def _copied(target, at, source, start, size):
    copy(target, at, source, start, size)


@njit
def _zeros(number):
    return trailing_zeros(number)


def test_the_version_is_the_one_that_the_reads_were_written_for():
    assert version("numba").startswith("0.68.")


def test_what_copies_has_the_parameters_that_it_is_called_with():
    assert list(inspect.signature(cgutils.raw_memcpy).parameters)[:5] == ["builder", "dst", "src", "count", "itemsize"]


def test_bytes_are_read_wherever_they_begin():
    for at in range(len(DATA) - 8):
        byte, half, word = _read(DATA, at)
        there = DATA[at : at + 8].tobytes()
        assert (byte, half, word) == (there[0], *(int(np.frombuffer(there[:n], f"=u{n}")[0]) for n in (4, 8)))


def test_a_part_of_an_array_is_read_from_where_it_begins():
    assert _read(DATA[3:], 2)[0] == 6


def test_so_many_bytes_are_copied_and_no_others():
    target = np.zeros(10, np.uint8)

    _copied(target, 2, DATA, 5, 4)
    _copied(target, 9, DATA, 0, 0)

    assert target.tolist() == [0, 0, 6, 7, 8, 9, 0, 0, 0, 0]


def test_trailing_zeros_are_those_below_the_lowest_one():
    assert [_zeros(np.uint64(1 << bit | 1 << 63)) for bit in (0, 1, 8, 62)] == [0, 1, 8, 62]
