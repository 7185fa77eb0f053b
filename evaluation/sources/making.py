"""Making: our messages, of records of another shape, as columns; what lacks a field that is needed is rejected.

A record that does not satisfy the source's conditions is left out, whatever else is wrong with it, and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.columns.arrays import Floats, Mask, Words
from evaluation.columns.moments import moments
from evaluation.columns.scanning import LONGEST_TEXT, MISSING, NUMBERS, TEXTS, Type, plain_number
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.conditions import CompiledCondition
from evaluation.flags.paths import Path
from evaluation.flags.values import read_json, subject_of
from evaluation.sources.beside import beside
from evaluation.sources.inlining import inlined
from evaluation.sources.mapping import INSERT_ID, TIME, Alternative, At, Beside, Constant, SourceMapping
from evaluation.sources.odd import WRONG
from evaluation.sources.reading import MOST_ELEMENTS, RecordPiece, read, unfolded, with_one
from evaluation.sources.spans import Reject, Spans
from schemas.dead_letter import Reason
from schemas.records import Records

LONGEST_SHOWN = 60  # bytes of a value
GROUPS: Path = ("groups",)  # all of them, as an object
Where = Sequence[tuple[Alternative, CompiledCondition]]


@dataclass(frozen=True, slots=True)
class Made:
    """n messages: the wanted fields by path, as of our own shape; `value` gives the bytes of one, as it came.

    `said_time` tells where the time of one that has one was found, what stands there, and in which unit it was read.
    """

    spans: Spans
    texts: dict[Path, Texts]
    integers: dict[Path, Words]
    numbers: dict[Path, Floats]
    value: Callable[[int], bytes | None]
    said_time: Callable[[int], str]


def make(  # noqa: PLR0917
    records: Records,
    spans: Spans,
    mapping: SourceMapping,
    reject: Reject,
    counts: Counter[str],
    given: Mapping[int, int] = MappingProxyType({}),
) -> Iterator[Made]:
    """The messages that a source makes of the JSON of these records, in pieces.

    Args:
        records: what the spans are of; keys and headers come from there.
        reject: told of each message that is of no use.
        counts: `excluded` grows by what the conditions leave out.
        given: by row, the index that the message of a record had that was sent again.
    """
    outer = [each for each in mapping.where if not (isinstance(each[0], At) and each[0].is_in_element)]
    inner = [each for each in mapping.where if each not in outer]
    if mapping.parse:
        spans = inlined(spans, mapping.parse)
    for part, found in read(spans, mapping.of_record, reject):
        piece = _satisfying(records, RecordPiece(part, found), outer, counts)
        if mapping.of_element is None:
            pieces: Iterator[RecordPiece] = iter([piece])
        else:
            holders = _with_array(piece, mapping, reject)
            every = unfolded(holders, mapping.each, mapping.of_element, reject)
            pieces = (_satisfying(records, each, inner, counts) for each in every)
        for each in pieces:
            if len(each):
                yield _Making(records, each, mapping, given).made(reject)


def _satisfying(records: Records, piece: RecordPiece, where: Where, counts: Counter[str]) -> RecordPiece:
    """The messages that satisfy the conditions; the others are counted."""
    kept = np.ones(len(piece), np.bool_)
    for alternative, condition in where:
        encoded = _json(records, piece, alternative).arrow().dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        values = [*(read_json(value) for value in encoded.dictionary.to_pylist()), None]
        kept &= np.array([condition.matches(subject_of(value)) for value in values])[codes]
    if kept.all():
        return piece
    counts["excluded"] += int((~kept).sum())
    return piece.take(np.flatnonzero(kept))


def _with_array(piece: RecordPiece, mapping: SourceMapping, reject: Reject) -> RecordPiece:
    """The records that have the array that is unfolded."""
    arrays = piece.of_record.columns.json[mapping.each]
    is_array = arrays.length > 0
    is_array[is_array] = arrays.data[arrays.start[is_array]] == ord("[")
    for i in np.flatnonzero(~is_array).tolist():
        what = "missing" if arrays.length[i] < 0 else f"{_shown(arrays, i)}, which is no list"
        detail = f"{mapping.source.each} is {what}; mend `each`, or leave such records out by `where`"
        value = piece.spans.value(i)
        reject(int(piece.spans.row[i]), piece.spans.index_of(i), "wrong type", detail, value)
    return piece.take(np.flatnonzero(is_array))


def _text(records: Records, piece: RecordPiece, alternative: Alternative) -> Texts:
    match alternative:
        case At():
            return piece.found(alternative).columns.texts[alternative.steps]
        case Beside():
            return beside(records, piece.spans.row, alternative.path)
        case Constant(text):
            return _same(text.encode(), len(piece))


def _json(records: Records, piece: RecordPiece, alternative: Alternative) -> Texts:
    match alternative:
        case At():
            return piece.found(alternative).columns.json[alternative.steps]
        case Beside():
            encoded = beside(records, piece.spans.row, alternative.path).arrow().dictionary_encode()
            texts = [msgspec.json.encode(text.decode()) for text in encoded.dictionary.to_pylist()]
            return Texts.of(pa.array(texts, pa.large_binary()).take(encoded.indices))
        case Constant(text):
            return _same(msgspec.json.encode(text), len(piece))


def _number(records: Records, piece: RecordPiece, alternative: Alternative) -> Floats:
    match alternative:
        case At():
            return piece.found(alternative).columns.numbers[alternative.steps]
        case Beside():
            texts = _json(records, piece, alternative).arrow().to_pylist()
            return np.array([plain_number(text or b"") for text in texts], np.float64)
        case Constant(text):
            return np.full(len(piece), plain_number(msgspec.json.encode(text)))


def _same(text: bytes, n: int) -> Texts:
    return Texts(as_bytes(text), np.zeros(n, np.int64), np.full(n, len(text)))


def _shown(texts: Texts, i: int) -> str:
    start, length = int(texts.start[i]), int(texts.length[i])
    text = texts.data[start : start + min(length, LONGEST_SHOWN)].tobytes().decode(errors="replace")
    return text if length <= LONGEST_SHOWN else f"{text}…"


def _first(is_there: Sequence[Mask]) -> Words:
    """For each message the first alternative that is there; -1: none."""
    which = np.full(len(is_there[0]), -1)
    for k in reversed(range(len(is_there))):
        which[is_there[k]] = k
    return which


def _joined(columns: Sequence[Texts], which: Words) -> Texts:
    """Of each message the text of the column that is to be taken; -1: none."""
    buffers = list({id(column.data): column.data for column in columns}.values())
    ends = np.cumsum([0, *map(len, buffers)])
    begins = {id(data): int(begin) for data, begin in zip(buffers, ends, strict=False)}
    start, length = np.zeros(len(which), np.int64), np.full(len(which), -1)
    for k, column in enumerate(columns):
        chosen = which == k
        start[chosen] = column.start[chosen] + begins[id(column.data)]
        length[chosen] = column.length[chosen]
    return Texts(buffers[0] if len(buffers) == 1 else as_bytes(np.concatenate(buffers).tobytes()), start, length)


class _Making:
    """The fields of the messages of one piece."""

    def __init__(self, records: Records, piece: RecordPiece, mapping: SourceMapping, given: Mapping[int, int]) -> None:
        self._records, self._piece, self._mapping, self._given = records, piece, mapping, given
        self._which: dict[Path, Words] = {}
        self._times: Texts
        self._bad: list[tuple[Mask, Path, Callable[[int], str]]] = []

    def made(self, reject: Reject) -> Made:
        """The messages, but those that are of no use."""
        kinds = self._mapping.kinds.items()
        texts = {path: self._texts(path, kind) for path, kind in kinds if kind in TEXTS}
        numbers = {path: self._numbers(path) for path, kind in kinds if kind in NUMBERS}
        integers = {path: self._integers(path) for path, kind in kinds if kind == Type.INTEGER}
        good, piece = self._useful(texts, reject), self._piece
        rows = np.flatnonzero(good)
        if not good.all():
            piece = piece.take(rows)
            texts = {path: column.take(rows) for path, column in texts.items()}
            numbers = {path: column[rows] for path, column in numbers.items()}
            integers = {path: column[rows] for path, column in integers.items()}
        return Made(
            piece.spans,
            texts,
            integers,
            numbers,
            lambda i: self._value(piece, i),
            lambda i: self._said_time(int(rows[i])),
        )

    def _useful(self, texts: Mapping[Path, Texts], reject: Reject) -> Mask:
        """Which messages are of use; each of the others is rejected, for the first reason."""
        good = np.ones(len(self._piece), np.bool_)
        spans = self._piece.spans

        def refuse(bad: Mask, reason: Reason, detail: Callable[[int], str]) -> None:
            for i in np.flatnonzero(bad & good).tolist():
                place = int(spans.row[i]), spans.index_of(i)
                value = partial(self._value, self._piece, i)
                reject(*place, reason, detail(i), value() if self._mapping.of_element is None else value)
            good[bad] = False

        for bad, _, detail in self._bad:
            refuse(bad, "wrong type", detail)
        for path in self._mapping.required:
            lacking = self._lacking([path], "every message has one")
            refuse(texts[path].length <= 0, "wrong type", lambda _, lacking=lacking: lacking)  # type: ignore[misc]
        if GROUPS in self._mapping.units:
            every = texts[GROUPS]
            is_other = every.length > 0
            is_other[is_other] = every.data[every.start[is_other]] != ord("{")
            said = "for groups, is {}, which is no object; say which group it is: `groups: {{ company: {} }}`"
            refuse(
                is_other,
                "wrong type",
                lambda i: f"{(at := self._place(GROUPS, i))}, {said.format(_shown(every, i), at)}",
            )
        if units := self._mapping.units:
            lacking = self._lacking(units, "an event is of a unit")
            lacks = np.logical_and.reduce([texts[path].length <= len(b"{}") * (path == GROUPS) for path in units])
            refuse(lacks, "no unit", lambda _: lacking)
        return good

    def _lacking(self, paths: Sequence[Path], why: str) -> str:
        """That none of these fields is there, and where it was looked for."""
        fields = " and ".join(".".join(path) for path in paths if self._mapping.fields[path])
        places = [each.text for path in paths for each in self._mapping.fields[path] if not isinstance(each, Constant)]
        return (
            f"{fields}: nothing stands at {', '.join(dict.fromkeys(places))}, and {why}; mend the record or `map`, or "
            "leave such records out by `where`"
        )

    def _value(self, piece: RecordPiece, i: int) -> bytes | None:
        """A message as it came, on its own; of one that shared its record's value the JSON that holds it alone."""
        if piece.holder is not None:
            return with_one(piece.holder.value(i), self._mapping.each, piece.spans.value(i))
        return piece.spans.value(i) if piece.spans.is_one_of_many else self._records.value(int(piece.spans.row[i]))

    def _texts(self, path: Path, kind: Type) -> Texts:
        read_as = _json if kind == Type.VALUE else _text
        columns = [read_as(self._records, self._piece, each) for each in self._mapping.fields[path]]
        found = self._chosen(path, columns, kind)
        if kind == Type.VALUE:
            return found
        wrong = found.length == WRONG
        if wrong.any():
            self._bad.append((wrong, path, lambda i: self._fault(path, i)))
        return self._with_index(found) if path == INSERT_ID and self._mapping.of_element else found

    def _chosen(self, path: Path, columns: Sequence[Texts], kind: Type) -> Texts:
        """The first of the columns that is there: as a text, one that is not empty."""
        if not columns:
            self._which[path] = np.full(len(self._piece), -1)
            return Texts(as_bytes(b""), np.zeros(len(self._piece), np.int64), np.full(len(self._piece), -1))
        if len(columns) == 1:
            self._which[path] = np.zeros(len(self._piece), np.int64)
            return columns[0]
        if kind == Type.VALUE:
            self._which[path] = _first([column.length >= 0 for column in columns])
        else:
            self._which[path] = _first([(column.length > 0) | (column.length == WRONG) for column in columns])
        return _joined(columns, self._which[path])

    def _numbers(self, path: Path) -> Floats:
        alternatives = self._mapping.fields[path]
        columns = [_number(self._records, self._piece, each) for each in alternatives]
        if len(columns) == 1:
            return columns[0]
        numbers = np.full(len(self._piece), np.nan)
        if not columns:
            return numbers
        which = _first([_json(self._records, self._piece, each).length >= 0 for each in alternatives])
        for k, column in enumerate(columns):
            numbers[which == k] = column[which == k]
        return numbers

    def _integers(self, path: Path) -> Words:
        """Whole numbers, and of `time` the moment; what is another thing is of no use."""
        columns = [_json(self._records, self._piece, each) for each in self._mapping.fields[path]]
        said = self._chosen(path, columns, Type.VALUE)
        if path == TIME:
            self._times = said
            values, is_one = moments(said, self._mapping.unit)
            what = f"no time in {self._mapping.unit}; mend `time`, or its unit"
        else:
            numbers = self._numbers(path)
            is_one = np.isfinite(numbers) & (numbers == np.rint(numbers)) & (np.abs(numbers) < 1 << 53)
            values, what = np.where(is_one, numbers, 0).astype(np.int64), "no whole number"
        bad = (said.length >= 0) & ~is_one
        if bad.any():
            self._bad.append((bad, path, lambda i: f"{self._place(path, i)} is {_shown(said, i)}, which is {what}"))
        return np.where(is_one, values, MISSING)

    def _with_index(self, ids: Texts) -> Texts:
        """Insert ids, to which the number of the element is added where they are of the whole record."""
        alternatives = self._mapping.fields[INSERT_ID]
        is_outer = [not (isinstance(each, At) and each.is_in_element) for each in alternatives] + [False]
        spans = self._piece.spans
        number = spans.index % MOST_ELEMENTS
        for i in np.flatnonzero(np.isin(spans.row, list(self._given))).tolist() if self._given else ():
            number[i] = self._given[int(spans.row[i])] % MOST_ELEMENTS
        outer = np.array(is_outer)[self._which[INSERT_ID]] & (ids.length > 0)
        if not outer.any():
            return ids
        texts = ids.arrow()
        ends = pa.array(number).cast(pa.string()).cast(pa.large_binary())
        joined = pc.binary_join_element_wise(texts, ends, pa.scalar(b"/", pa.large_binary()))
        return Texts.of(pc.if_else(pa.array(outer), joined, texts))

    def _place(self, path: Path, i: int) -> str:
        """Where the field of a message was found, as the document calls it."""
        alternative = self._mapping.fields[path][int(self._which[path][i])]
        return "the constant" if isinstance(alternative, Constant) else alternative.text

    def _said_time(self, i: int) -> str:
        return f"{self._place(TIME, i)} is {_shown(self._times, i)} in {self._mapping.unit}"

    def _fault(self, path: Path, i: int) -> str:
        """Why the text of a field is of no use."""
        alternative = self._mapping.fields[path][int(self._which[path][i])]
        what = f"no UTF-8, or longer than {LONGEST_TEXT} bytes"
        if isinstance(alternative, At):
            found = self._piece.found(alternative)
            what = found.faults[int(found.place[i]), alternative.steps]
        return f"{self._place(path, i)}, for {'.'.join(path)}, is {what}"
