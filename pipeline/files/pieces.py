"""Pieces: consecutive rows of a file as JSON messages, each with its line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.columns.texts import Texts
from pipeline.files.left_out import BadRow

PIECE = 1 << 24  # bytes of a text that are taken at once
ROWS = 50_000  # of a table


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of a file: JSON objects that stand in `data` one after another."""

    file: str  # as it is called; in an archive `ARCHIVE:NAME`
    data: bytes
    length: NDArray[np.int64]  # (n,) bytes of each
    line: NDArray[np.int64]  # (n,) where it stands in the file, from 1
    read: float  # the share of the path that has been read, from 0 to 1
    bad: tuple[BadRow, ...] = ()
    is_titled: bool = False  # by a header
    floats: tuple[tuple[str, str], ...] = ()  # ids of a CSV file that are taken for floats: the field, and one of them

    @classmethod
    def of(
        cls,
        file: str,
        messages: Iterable[bytes],
        line: Iterable[int],
        read: float,
        *,
        bad: Iterable[BadRow] = (),
        is_titled: bool = False,
    ) -> "Piece":
        """The piece that these messages make."""
        values = list(messages)
        sizes = np.array([len(value) for value in values], np.int64)
        return cls(file, b"".join(values), sizes, np.array(list(line), np.int64), read, tuple(bad), is_titled)

    @classmethod
    def of_array(cls, file: str, messages: pa.Array, line: NDArray[np.int64], read: float) -> "Piece":
        """The piece of a table that an array of large strings makes, none of them null."""
        texts = Texts.of(messages)
        begin = int(texts.start[0]) if len(texts) else 0
        data = texts.data[begin : begin + int(texts.length.sum())].tobytes()
        return cls(file, data, texts.length, line, read, is_titled=True)


@dataclass(frozen=True, slots=True)
class OpenText:
    """A file of text, or one within an archive: what it is called, its text, and how much of that has been read."""

    name: str
    text: IO[bytes]
    raw: IO[bytes]  # what it is decompressed from
    size: int  # of that

    @property
    def read(self) -> float:
        """The share, from 0 to 1."""
        return self.raw.tell() / max(1, self.size)

    def block(self) -> bytes:
        """The next bytes; none at the end."""
        return self.text.read(PIECE)
