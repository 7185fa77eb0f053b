"""JSON: the lines of NDJSON, or the objects of one array. They are taken as they are."""

from codecs import BOM_UTF8
from collections.abc import Iterator

import msgspec
import numpy as np

from pipeline.errors import PeekproofError
from pipeline.files.pieces import ROWS, OpenText, Piece


def json_rows(source: OpenText) -> Iterator[Piece]:
    """The lines of NDJSON, or the objects of one array."""
    before = 0  # lines
    rest = b""
    while block := source.block():
        if before:
            block = rest + block
        else:
            block = (rest + block).removeprefix(BOM_UTF8)
            if block.lstrip().startswith(b"["):
                yield from _array(source, block + source.text.read())
                return
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            yield _split(source.name, block[:end], before, source.read)
            before += block.count(b"\n", 0, end)
    if rest:
        if not before:
            _refuse_columns(source.name, rest)
        yield _split(source.name, rest, before, 1.0)


def _array(source: OpenText, text: bytes) -> Iterator[Piece]:
    try:
        rows = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PeekproofError(f"'{source.name}' is no JSON array of objects: {error}") from None
    for begin in range(0, len(rows), ROWS):
        some = rows[begin : begin + ROWS]
        lines = range(begin + 1, begin + 1 + len(some))
        yield Piece.of(source.name, map(bytes, some), lines, (begin + len(some)) / len(rows))


def _refuse_columns(name: str, text: bytes) -> None:
    """Raise PeekproofError where one object holds columns, as pandas writes them."""
    try:
        columns = msgspec.json.decode(text, type=dict[str, dict[str, msgspec.Raw]])
    except (msgspec.MsgspecError, RecursionError):
        return
    if len(columns) > 1:
        raise PeekproofError(
            f"'{name}' is one object of columns; write one object a line: to_json(…, orient='records', lines=True)"
        )


def _split(file: str, data: bytes, before: int, read: float) -> Piece:
    """A message takes in its line's end. Empty lines don't count."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    length = np.diff(ends, prepend=0)
    line = np.arange(before + 1, before + 1 + len(length))
    empty = [i for i in np.flatnonzero(length <= 2).tolist() if not data[ends[i] - length[i] : ends[i]].strip()]
    if not empty:
        return Piece(file, data, length, line, read)
    kept = np.delete(np.arange(len(length)), empty)
    spans = zip((ends - length)[kept].tolist(), ends[kept].tolist(), strict=True)
    return Piece.of(file, (data[begin:end] for begin, end in spans), line[kept].tolist(), read)
