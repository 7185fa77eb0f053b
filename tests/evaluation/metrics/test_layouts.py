"""Layouts: what a kernel does with a table that is not its own."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from evaluation.metrics import layouts
from evaluation.metrics.kernels.settle import push
from evaluation.metrics.layouts import EVENT, EXPOSURE, HEAD, HEAD_WORDS, HEAPED, PENDING_EVENT, RUN_COUNTS

DTYPES = {name: dtype for name, dtype in vars(layouts).items() if isinstance(dtype, np.dtype)}


def test_a_field_that_a_table_does_not_have_fails_when_its_kernel_is_compiled():
    @njit
    def unit_of(events):
        return events[0].untit

    with pytest.raises((KeyError, TypingError), match="untit"):
        unit_of(np.zeros(1, EVENT))


def test_another_table_fails_when_a_kernel_is_compiled_for_it():
    counts = np.zeros(1, RUN_COUNTS)

    push(np.zeros(1, HEAPED), counts[0], 5, 0)
    with pytest.raises((KeyError, TypingError), match="entry"):
        push(np.zeros(1, PENDING_EVENT), counts[0], 5, 0)
    with pytest.raises((KeyError, TypingError), match="heaped"):
        push(np.zeros(1, HEAPED), np.zeros(1, EXPOSURE)[0], 5, 0)


def test_no_two_tables_are_alike_so_that_none_passes_for_another():
    fields = [dtype.names for dtype in DTYPES.values()]

    assert len(set(fields)) == len(fields) > 15


def test_the_head_of_a_row_is_its_first_words():
    rows = np.arange(20).reshape(2, 10)

    heads = layouts.heads_of(rows)

    assert [heads[field].tolist() for field in HEAD.names] == rows[:, :HEAD_WORDS].T.tolist()
    heads[1].entry = -1
    assert rows[1].tolist() == [10, -1, *range(12, 20)]
