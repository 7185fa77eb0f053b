"""Reading: what stands at a mapping's paths in the records of a slice, in pieces; what is no JSON is rejected.

A piece holds messages that were read the same way: by the kernel, or one by one. With `each`, its messages are the
elements of its records' arrays.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Mask, Words
from evaluation.columns.nesting import DEEPEST, json_depth
from evaluation.columns.path_scanning import PathColumns, PathTree, Steps, elements, scan_paths
from evaluation.columns.scanning import LARGEST_OBJECT
from evaluation.sources.mapping import At
from evaluation.sources.odd import OddColumns
from evaluation.sources.spans import Came, Reject, Spans

MOST_ELEMENTS = 1_000_000  # of one value: more do not fit into the largest
Faults = Mapping[tuple[int, Steps], str]
LONGEST_SHOWN = 100  # bytes of a value


@dataclass(frozen=True, slots=True)
class ColumnsFound:
    """What stands at the paths of a tree in n values; `place` is where each stands in `faults`."""

    columns: PathColumns
    place: Words
    faults: Faults = field(default_factory=dict)

    def take(self, rows: NDArray[Any]) -> "ColumnsFound":
        """Of some of the values."""
        return replace(self, columns=self.columns.take(rows), place=self.place[rows])


@dataclass(frozen=True, slots=True)
class RecordPiece:
    """n messages, and what was found in the record of each, and in the element that it is."""

    spans: Spans
    of_record: ColumnsFound
    of_element: ColumnsFound | None = None
    holder: Spans | None = None  # of a message that is an element the JSON that holds it

    def __len__(self) -> int:
        return len(self.spans)

    def take(self, rows: NDArray[Any]) -> "RecordPiece":
        """Some of the messages."""
        return RecordPiece(
            self.spans.take(rows),
            self.of_record.take(rows),
            self.of_element.take(rows) if self.of_element else None,
            self.holder.take(rows) if self.holder else None,
        )

    def found(self, at: At) -> ColumnsFound:
        """Where the column of a place is."""
        if at.is_in_element:
            assert self.of_element is not None
            return self.of_element
        return self.of_record


def read(spans: Spans, tree: PathTree, reject: Reject) -> Iterator[tuple[Spans, ColumnsFound]]:
    """What stands at the paths in these records, in at most two pieces."""
    for part, found in _read(spans, tree, reject, is_any=() in tree.views):
        if len(part):
            yield part, found


def unfolded(piece: RecordPiece, each: Steps, tree: PathTree, reject: Reject) -> Iterator[RecordPiece]:
    """The elements of the arrays that stand at `each` in the records of a piece."""
    arrays = piece.of_record.columns.json[each]
    of, start, length = elements(arrays.data, arrays.start, arrays.length)
    first = np.searchsorted(of, of)
    index = piece.spans.index[of] * MOST_ELEMENTS + np.arange(len(of)) - first
    spans = Spans(arrays.data, piece.spans.row[of], index, start, length, is_one_of_many=True)
    records = piece.take(of)
    numbered = replace(spans, index=np.arange(len(spans)))  # so that what is left can be told

    def unreadable(_: int, number: int | None, reason: Any, detail: str, _value: Came) -> None:
        i = number or 0
        alone = lambda: with_one(records.spans.value(i), each, spans.value(i))  # noqa: E731
        reject(int(spans.row[i]), int(index[i]), reason, detail, alone)

    for part, found in _read(numbered, tree, unreadable, is_any=True):
        if len(part):
            kept = part.index
            outer = records.take(kept)
            yield RecordPiece(replace(part, index=index[kept]), outer.of_record, found, outer.spans)


def with_one(value: bytes, steps: Steps, element: bytes) -> bytes:
    """The record with an array of this one element where the steps lead, everything else as it is written."""
    if not steps:
        return b"[%b]" % element
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(fields | {step: msgspec.Raw(with_one(bytes(fields[step]), rest, element))})
    items = msgspec.json.decode(value, type=list[msgspec.Raw])
    items[step] = msgspec.Raw(with_one(bytes(items[step]), rest, element))
    return msgspec.json.encode(items)


def _read(spans: Spans, tree: PathTree, reject: Reject, *, is_any: bool) -> Iterator[tuple[Spans, ColumnsFound]]:
    columns, odd = scan_paths(spans.data, spans.start, spans.length, tree, is_any=is_any)
    if not odd.any():
        yield spans, ColumnsFound(columns, np.arange(len(spans)))
        return
    good: Mask = ~odd
    yield spans.take(good), ColumnsFound(columns.take(good), np.arange(int(good.sum())))
    others = OddColumns(tree)
    kept = [i for i in np.flatnonzero(odd).tolist() if _is_read(spans, i, others, reject, is_any=is_any)]
    yield spans.take(np.array(kept, np.int64)), ColumnsFound(others.columns(), np.arange(len(kept)), others.faults)


def _is_read(spans: Spans, i: int, others: OddColumns, reject: Reject, *, is_any: bool) -> bool:
    """Whether one value can be read; else it is rejected."""
    value = spans.value(i)
    place = int(spans.row[i]), spans.index_of(i)
    if not value:
        reject(*place, "empty", "the value is empty; send one JSON object", value)
    elif len(value) > LARGEST_OBJECT:
        detail = f"the message has {len(value)} bytes, at most {LARGEST_OBJECT} are read; its producer must write less"
        reject(*place, "too large", detail, value)
    elif (depth := json_depth(value)) > DEEPEST:
        detail = f"the message is nested {depth} levels deep, at most {DEEPEST} are read; flatten it"
        reject(*place, "too deep", detail, value)
    else:
        try:
            others.read(value, is_any=is_any)
        except msgspec.ValidationError as error:
            detail = f"{_shown(value)} is no object ({error}); send one JSON object, or say `each`"
            reject(*place, "wrong type", detail, value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = "it begins with a byte order mark" if value.startswith(BOM_UTF8) else str(error)
            reject(*place, "not json", f"{why}, in {_shown(value)}; send one JSON object in UTF-8", value)
        else:
            return True
    return False


def _shown(value: bytes) -> str:
    return repr(value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…".encode())
