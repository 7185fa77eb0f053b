"""Messages: what the rows of files are as messages of topics: their fields renamed, exports translated, times in ms."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.assignment.dead_letters import shown
from evaluation.columns.arrays import Mask
from evaluation.columns.names import Names
from evaluation.columns.scanning import MISSING, Scanned, Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.paths import Path
from pipeline.files.aliases import Aliases, renamed
from pipeline.files.export_columns import translate
from pipeline.files.exports import EXPOSURE_EVENTS, UNLIKE_ID, RowError, says_no_time, to_message
from pipeline.files.left_out import BadRow, LeftOut
from pipeline.files.pieces import Piece
from pipeline.files.sightings import Sightings
from schemas.numbers import is_in_seconds
from schemas.topics import EVENTS, EXPOSURES

# What shows that a row is a message of its topic already; `aliases` and `exports` make the others one.
_COMMON: dict[Path, Type] = {
    ("time",): Type.INTEGER,
    ("user_id",): Type.TEXT,
    ("device_id",): Type.TEXT,
    ("insert_id",): Type.TEXT,
    ("$insert_id",): Type.TEXT,
}
_WANTED = {
    EVENTS: Wanted({("event_type",): Type.TEXT, **_COMMON}, ("event_type",)),
    EXPOSURES: Wanted(
        {
            ("flag_key",): Type.TEXT,
            **_COMMON,
            ("experiment_key",): Type.TEXT,
            ("metadata",): Type.OBJECT,
            ("metadata", "flagVersion"): Type.INTEGER,
        },
        ("flag_key",),
    ),
}
_EXPOSURE_EVENTS = Names(EXPOSURE_EVENTS)
_IDS = ("user_id", "device_id", "insert_id")


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one topic: values that stand one after another, their times (ms UTC) and lines."""

    data: bytes
    length: NDArray[np.int64]
    time: NDArray[np.int64]
    line: NDArray[np.int64]

    @property
    def values(self) -> Texts:
        """As texts."""
        return Texts(as_bytes(self.data), np.cumsum(self.length) - self.length, self.length)

    def take(self, rows: NDArray[np.int64]) -> "Messages":
        """Those at these places."""
        return Messages.of(self.values.take(rows).arrow(), self.time[rows], self.line[rows])

    @classmethod
    def of(cls, values: pa.Array, time: NDArray[np.int64], line: NDArray[np.int64]) -> "Messages":
        """Those that an array of large binaries or strings holds, none of them null."""
        texts = Texts.of(values)
        begin = int(texts.start[0]) if len(texts) else 0
        return cls(texts.data[begin : begin + int(texts.length.sum())].tobytes(), texts.length, time, line)

    @classmethod
    def join(cls, parts: "list[Messages]") -> "Messages":
        """All of them, by line."""
        whole = Messages(
            b"".join(part.data for part in parts),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("length", "time", "line")),
        )
        return whole.take(np.argsort(whole.line)) if len(parts) > 1 else whole


class Translation:
    """Makes messages of rows. `read` are the properties that somebody reads; `events` is told the names of fields.

    `runs` says how many exposures named a run, by flag and run; `floats` are ids that are taken for whole numbers, by
    file and field: one of them as it is written.
    """

    def __init__(self, read: Collection[Path], left_out: LeftOut, events: Sightings) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()
        self.floats: dict[tuple[str, str], str] = {}
        self._aliases = Aliases(read)
        self._left_out = left_out
        self._events = events

    def messages(self, piece: Piece, topic: str) -> Iterator[tuple[str, Messages]]:
        """The messages that the rows of a file of `topic` make, each with its topic: where there are any."""
        for row in piece.bad:
            self._left_out.reject(row)
        self.floats.update({(piece.file, name): written for name, written in piece.floats})
        rows, scanned = self._by_field_names(piece, topic)
        foreign = _is_foreign(scanned, topic)
        rows = replace(rows, time=scanned.start[scanned.wanted.position["time",]])
        parts = {topic: [rows]}
        if foreign.any():
            parts = self._translate(rows.take(np.flatnonzero(foreign)), topic, piece.file)
            parts[topic].append(rows.take(np.flatnonzero(~foreign)))
        for name, its in parts.items():
            whole = self._without_seconds(Messages.join(its), piece.file)
            if len(whole.length):
                yield name, whole

    def _by_field_names(self, piece: Piece, topic: str) -> tuple[Messages, Scanned]:
        """The rows with their fields as messages call them, and what they say."""
        rows = Messages(piece.data, piece.length, np.zeros_like(piece.line), piece.line)
        aliases = {} if piece.is_titled else self._aliases.of(piece.data)
        wanted = _with_names(topic, tuple(aliases))
        values = rows.values
        if not piece.is_titled:
            self._events.take_names(values, aliases)
        scanned = scan(values.data, values.start, values.length, wanted)
        is_renamed = scanned.odd.copy()  # may say anything
        for alias in aliases:
            is_renamed |= scanned.length[wanted.position[alias,]] >= 0
        if aliases and is_renamed.any():
            at = np.flatnonzero(is_renamed)
            made = Messages.of(renamed(values.take(at), aliases), rows.time[at], rows.line[at])
            rows = Messages.join([rows.take(np.flatnonzero(~is_renamed)), made])
            values = rows.values
            scanned = scan(values.data, values.start, values.length, wanted)
        return rows, scanned

    def _without_seconds(self, messages: Messages, file: str) -> Messages:
        """Without those whose time must be meant in seconds."""
        found = is_in_seconds(messages.time)
        if not found.any():
            return messages
        for line, time in zip(messages.line[found].tolist(), messages.time[found].tolist(), strict=True):
            detail = f"time is {time}, which would be early in the 1970s; is it in seconds? Write milliseconds"
            self._left_out.reject(BadRow(file, line, "time out of range", detail))
        return messages.take(np.flatnonzero(~found))

    def _translate(self, rows: Messages, topic: str, file: str) -> dict[str, list[Messages]]:
        """The messages that rows make which are none yet, by topic: most of them by columns, the others one by one."""
        found = translate(rows.values, topic)
        self.runs.update(found.runs)
        line = rows.line[found.row]
        parts: dict[str, list[Messages]] = {}
        for name, its in ((EXPOSURES, found.is_exposure), (EVENTS, ~found.is_exposure)):
            parts[name] = [Messages.of(found.message.filter(pa.array(its)), found.time[its], line[its])]

        made: dict[str, list[tuple[bytes, int, int]]] = {EXPOSURES: [], EVENTS: []}
        left = np.ones(len(rows.line), np.bool_)
        left[found.row] = False
        ends = np.cumsum(rows.length)
        for i in np.flatnonzero(left).tolist():
            row, number = rows.data[ends[i] - rows.length[i] : ends[i]], int(rows.line[i])
            try:
                message = to_message(row, topic)
            except RowError as error:
                self._left_out.reject(BadRow(file, number, "wrong type", str(error)))
                continue
            if message is None:
                self._left_out.reject(BadRow(file, number, "time out of range", says_no_time(row)))
            elif isinstance(message.time, str):
                detail = f"time is {shown(message.time)}; write ms since 1970, or ISO 8601: 2026-01-31T12:00:00Z"
                self._left_out.reject(BadRow(file, number, "wrong type", detail))
            else:
                self.runs.update([message.run] if message.run else [])
                # Where the time is something else, the message is rejected, at whatever time.
                made[message.topic].append((message.value, message.time or 0, number))
        for name, messages in made.items():
            values, times, lines = zip(*messages, strict=True) if messages else ((), (), ())
            array = pa.array(values, pa.large_binary())
            parts[name].append(Messages.of(array, np.array(times, np.int64), np.array(lines, np.int64)))
        return parts


def _is_foreign(rows: Scanned, topic: str) -> Mask:
    """Which rows are no messages of the topic yet."""
    foreign = (
        rows.odd | (rows.start[rows.wanted.position["time",]] == MISSING) | (rows.texts(("$insert_id",)).length >= 0)
    )
    for name in _IDS:
        foreign |= _unlike_ids(rows.texts((name,)))
    if topic == EVENTS:
        return foreign | (_EXPOSURE_EVENTS.codes(rows.texts(("event_type",))) >= 0)
    foreign |= rows.texts(("experiment_key",)).length >= 0
    return foreign | (rows.start[rows.wanted.position["metadata", "flagVersion"]] != MISSING)


@lru_cache(maxsize=16)
def _with_names(topic: str, names: tuple[str, ...]) -> Wanted:
    """What is wanted of a topic's rows, and these names at their top."""
    return Wanted({**{(name,): Type.VALUE for name in names}, **_WANTED[topic].fields}, _WANTED[topic].required)


def _unlike_ids(ids: Texts) -> Mask:
    """Which texts stand for another id, or for none."""
    found = pc.match_substring_regex(ids.arrow().view(pa.large_string()), f"^(?:{UNLIKE_ID})$")
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False))
