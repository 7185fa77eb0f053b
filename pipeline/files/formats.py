"""Files: the rows of NDJSON, CSV and Parquet files as JSON messages, each with its line, piece by piece.

The name says what a file is: `.parquet`, `.csv`, `.ndjson`, `.jsonl` or `.json` (one array of objects, too); the texts
may be compressed by gzip, and several may stand in a `.zip`. What a table's columns are, `titles` says by its header;
ids may be whole numbers, times timestamps. Properties stand in structs or as JSON in `event_properties` and the like,
or one by one in columns of their own. Ids are texts as they are written, except in a column of floats: in Parquet, or
in a CSV file that reads like one.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath
from typing import IO, Any

import duckdb

from pipeline.errors import PeekproofError
from pipeline.files.csv_rows import csv_rows
from pipeline.files.frames import Frame, Input
from pipeline.files.json_rows import json_rows
from pipeline.files.parquet import frame_rows, parquet_rows
from pipeline.files.pieces import PIECE, OpenText, Piece
from pipeline.files.titles import ColumnsOf

TEXTS = (".csv", ".ndjson", ".jsonl", ".json")

GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
BEGIN = 1 << 16  # bytes of a text, by which one knows what it is


def pieces(path: Input, header: ColumnsOf) -> Iterator[Piece]:
    """The rows of a file, or of a frame; `header` says what a table's columns are.

    Raises PeekproofError where it cannot be read, or is of no known kind, and what `header` raises.
    """
    try:
        yield from frame_rows(path, header) if isinstance(path, Frame) else _pieces(path, header)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, duckdb.Error, csv.Error) as error:
        raise PeekproofError(f"'{path}' cannot be read: {str(error).partition(chr(10))[0]}") from error


def _pieces(path: Path, header: ColumnsOf) -> Iterator[Piece]:
    if path.is_dir():
        raise PeekproofError(f"'{path}' is a directory; name the files, as {path / '*.parquet'}")
    kind = _kind(path)
    if kind == ".parquet":
        yield from parquet_rows(path, header)
    elif kind == ".zip":
        yield from _zipped(path, header)
    elif kind in TEXTS:
        with path.open("rb") as raw:
            yield from _text(str(path), kind, raw, path.stat().st_size, header)
    else:
        way_out = "save its sheet as CSV (UTF-8)" if kind.startswith(".xls") else _KINDS
        raise PeekproofError(f"'{path}' is of no known kind; {way_out}")


_KINDS = "name it .parquet, .csv, .ndjson, .jsonl or .json, the texts also with .gz, or a .zip of texts"


def _kind(path: PurePath) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-2:] == [".parquet", ".gz"]:
        return ""
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def _text(name: str, kind: str, raw: IO[bytes], size: int, header: ColumnsOf) -> Iterator[Piece]:
    with raw:
        is_compressed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        text: IO[bytes] = gzip.GzipFile(fileobj=raw) if is_compressed else raw  # type: ignore[assignment]
        with text:
            begin = text.read(BEGIN)
            text.seek(0)
            _refuse_others(name, begin)
            if b"\r" in begin[:-1] and b"\n" not in begin:
                text = io.BufferedReader(_Returns(text), PIECE)  # type: ignore[arg-type]
            source = OpenText(name, text, raw, size)
            yield from csv_rows(source, header) if kind == ".csv" else json_rows(source)


# How files begin that are no texts, and what to do about it.
_BEGIN = {
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a ZIP archive, or a sheet; name it .zip, or save the sheet as CSV (UTF-8)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it, or use gzip",
    b"ARROW1": "Arrow's IPC format; write it as Parquet",
    b"\xff\xfe": "UTF-16; save it as UTF-8 (of a sheet: CSV UTF-8)",
    b"\xfe\xff": "UTF-16; save it as UTF-8 (of a sheet: CSV UTF-8)",
}


def _refuse_others(name: str, begin: bytes) -> None:
    """Raise PeekproofError where a file that is called a text is something else."""
    what = next((what for mark, what in _BEGIN.items() if begin.startswith(mark)), None)
    if what is None and b"\0" in begin:
        # Of UTF-16 every other byte is 0, as long as letters are English.
        halves = [half.count(0) for half in (begin[::2], begin[1::2])]
        if max(halves) > len(begin) // 4 > 4 * min(halves):
            what = _BEGIN[b"\xff\xfe"]
    if what is not None:
        raise PeekproofError(f"'{name}' is {what}")


class _Returns(io.RawIOBase):
    """A text whose lines end in carriage returns, as one of lines."""

    def __init__(self, text: IO[bytes]) -> None:
        self._text = text

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._text.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(block)] = block
        return len(block)


def _zipped(path: Path, header: ColumnsOf) -> Iterator[Piece]:
    """The texts in an archive, by name; what a Mac adds to it is none."""
    with zipfile.ZipFile(path) as archive:
        members = sorted(
            (each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")),
            key=lambda each: each.filename,
        )
        total, before = sum(each.file_size for each in members), 0
        for each in members:
            name, kind = f"{path}:{each.filename}", _kind(PurePath(each.filename))
            if kind not in TEXTS:
                raise PeekproofError(f"'{name}' is no CSV or JSON; unpack the archive, and name the files")
            for piece in _text(name, kind, archive.open(each), each.file_size, header):
                yield replace(piece, read=(before + piece.read * each.file_size) / max(1, total))
            before += each.file_size
