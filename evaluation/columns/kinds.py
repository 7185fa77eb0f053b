"""Kinds: how many messages of each kind a minute brought, a kind being what some of their fields say.

Theory of operation. A kernel hashes the fields of a message, and its minute, to 64 bits, which stand for the kind (two
kinds would be taken for one once in 2^64), finds the kind's place in a table of a fixed size, and counts it there. Only
a kind that is new has its texts copied. Once the table is full the caller either takes finished minutes out of it, or
thins it: the rarest kinds of a minute are added up as its rest. So whatever a producer sends as a name, memory does not
grow, and a kind that is frequent, or known, is kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.columns.memory import byte_at, word_at
from evaluation.columns.names import Names
from evaluation.columns.texts import Texts
from schemas.arrivals import LONGEST_NAME
from schemas.duration import MINUTE_MS

MOST_KINDS = 2_048  # of all minutes
KEPT_KINDS = 300  # of a minute, once it is thinned
_SLOTS = 4 * MOST_KINDS
_MINUTE, _COUNT, _LAST, _FIRST = range(4)  # a kind's numbers: the last is the row that brought it, of a slice


class KindCount(NamedTuple):
    """A kind of messages within a minute."""

    texts: tuple[str | None, ...]
    messages: int
    last: int  # append time (ms UTC) of the newest


class Rest(NamedTuple):
    """Kinds that were not kept apart: how many at most, and their messages."""

    kinds: int
    messages: int


class Kinds:
    """Counts messages by what so many `fields` say."""

    def __init__(self, fields: int) -> None:
        self._used = 0
        self._slots = np.zeros(_SLOTS, np.int64)
        self._hashes = np.zeros(MOST_KINDS, np.uint64)
        self._numbers = np.zeros((4, MOST_KINDS), np.int64)
        self._texts = np.zeros((fields, MOST_KINDS, LONGEST_NAME), np.uint8)
        self._lengths = np.zeros((fields, MOST_KINDS), np.int64)
        self._rest: dict[int, Rest] = {}  # by minute

    @property
    def minutes(self) -> list[int]:
        """Those of which something is counted (ms UTC), ascending."""
        return [each * MINUTE_MS for each in np.unique(self._numbers[_MINUTE, : self._used]).tolist()]

    def add(self, texts: Sequence[Texts], times: Words, begin: int = 0) -> tuple[int, Words]:
        """Count the messages from `begin` on, until the table is full.

        Returns how many are counted then, and the first message of each kind that is new.
        """
        hashes = np.zeros(len(times), np.uint64)
        for text in texts:
            _mix(hashes, text.data, text.start, text.length)
        used = self._used
        end, self._used = _count(self._slots, self._hashes, self._numbers, used, begin, hashes, times)
        new = self._numbers[_FIRST, used : self._used].copy()
        if len(new):
            for field, text in enumerate(texts):
                kept = self._texts[field, used:], self._lengths[field, used:]
                _copy(*kept, text.data, text.start[new], text.length[new])
        return end, new

    def thin(self, known: Names) -> None:
        """Keep of each minute the kinds of which the first text is known, then the most frequent."""
        used = self._used
        data = self._texts[0, :used].reshape(-1).copy()
        data.flags.writeable = False
        lengths = self._lengths[0, :used]
        is_whole = lengths <= LONGEST_NAME  # a name of which the beginning alone is kept is known by nobody
        names = Texts(data, np.arange(used) * LONGEST_NAME, np.where(is_whole, lengths, -1))
        is_known = known.codes(names) >= 0
        minute, count = self._numbers[_MINUTE, :used], self._numbers[_COUNT, :used]
        order = np.lexsort((self._hashes[:used], -count, ~is_known, minute))
        rank = np.arange(used) - np.searchsorted(minute[order], minute[order])
        dropped = order[rank >= KEPT_KINDS]
        for each in np.unique(minute[dropped]).tolist():
            counts = count[dropped][minute[dropped] == each]
            before = self._rest.get(each * MINUTE_MS, Rest(0, 0))
            self._rest[each * MINUTE_MS] = Rest(before.kinds + len(counts), before.messages + int(counts.sum()))
        self._keep(np.sort(order[rank < KEPT_KINDS]))

    def of(self, minute: int) -> Iterator[KindCount]:
        """The kinds of a minute, the most frequent first."""
        rows = np.flatnonzero(self._numbers[_MINUTE, : self._used] == minute // MINUTE_MS)
        rows = rows[np.lexsort((self._hashes[rows], -self._numbers[_COUNT, rows]))]
        for i in rows.tolist():
            texts = tuple(map(_text, self._texts[:, i], self._lengths[:, i].tolist()))
            yield KindCount(texts, int(self._numbers[_COUNT, i]), int(self._numbers[_LAST, i]))

    def rest(self, minute: int) -> Rest:
        """What of the minute was not kept apart."""
        return self._rest.get(minute, Rest(0, 0))

    def forget(self, minute: int) -> None:
        """Take a minute out."""
        self._keep(np.flatnonzero(self._numbers[_MINUTE, : self._used] != minute // MINUTE_MS))
        self._rest.pop(minute, None)

    def _keep(self, kinds: Words) -> None:
        used = self._used = len(kinds)
        self._hashes[:used] = self._hashes[kinds]
        for columns in (self._numbers, self._texts, self._lengths):
            columns[:, :used] = columns[:, kinds]
        _refill(self._slots, self._hashes, used)


# JSON writes such a character in six bytes: of a full table of names of nothing else no record would hold all.
_CONTROLS = dict.fromkeys(range(32), "�")


def name_of(text: bytes, length: int) -> str:
    """A name of so many bytes, by its text or the beginning of that; control characters are told as `�`."""
    name = text[: min(length, LONGEST_NAME)].decode("utf-8", "ignore").translate(_CONTROLS)
    return name if length <= LONGEST_NAME else f"{name}…"


def _text(data: NDArray[np.uint8], length: int) -> str | None:
    return None if length < 0 else name_of(data.tobytes(), length)


_PRIME, _GOLDEN = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def _mix(hashes, data, start, length):  # type: ignore[no-untyped-def]
    """Take one field into the messages' hashes: FNV-1a by words, the last of which may overlap."""
    for i in range(start.size):
        h: Any = (hashes[i] ^ np.uint64(length[i])) * _GOLDEN
        if length[i] < 8:
            for k in range(start[i], start[i] + length[i]):
                h = (h ^ np.uint64(byte_at(data, k))) * _PRIME
        else:
            end = start[i] + length[i] - 8
            for k in range(start[i], end, 8):
                h = (h ^ word_at(data, k)) * _PRIME
                h ^= h >> np.uint64(32)
            h = (h ^ word_at(data, end)) * _PRIME
        hashes[i] = h ^ (h >> np.uint64(29))


@njit(cache=True, forceinline=True)
def _place(slots, hashes, h):  # type: ignore[no-untyped-def]
    """The slot of a kind, or the free one where it would stand."""
    p: Any = np.int64((h * _GOLDEN) >> np.uint64(40)) & (slots.size - 1)
    while slots[p] != 0 and hashes[slots[p] - 1] != h:
        p = (p + 1) & (slots.size - 1)
    return p


@njit(cache=True)
def _refill(slots, hashes, used):  # type: ignore[no-untyped-def]
    slots[:] = 0
    for kind in range(used):
        slots[_place(slots, hashes, hashes[kind])] = kind + 1


@njit(cache=True)
def _count(slots, hashes, numbers, used, begin, messages, times):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Count messages by their hashes; up to which, and how many kinds there are then."""
    for i in range(begin, times.size):
        minute = times[i] // MINUTE_MS
        h = (messages[i] ^ np.uint64(minute)) * _GOLDEN
        p = _place(slots, hashes, h)
        kind = slots[p] - 1
        if kind < 0:
            if used == hashes.size:
                return i, used
            kind = used
            used += 1
            slots[p] = used
            hashes[kind] = h
            numbers[0, kind], numbers[1, kind], numbers[2, kind], numbers[3, kind] = minute, 0, 0, i
        numbers[1, kind] += 1
        numbers[2, kind] = max(numbers[2, kind], times[i])
    return times.size, used


@njit(cache=True)
def _copy(texts, lengths, data, start, length):  # type: ignore[no-untyped-def]
    for i in range(start.size):
        lengths[i] = length[i]
        for k in range(min(length[i], texts.shape[1])):
            texts[i, k] = byte_at(data, start[i] + k)
