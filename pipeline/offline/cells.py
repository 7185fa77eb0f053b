"""Cells: the columns of a table's files as texts and numbers, and where each row stands."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.assignment.dead_letters import shown
from evaluation.columns.arrays import Floats, Mask
from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.paths import Path as FieldPath
from evaluation.flags.values import read_json
from evaluation.significance.gates import loses_too_much
from pipeline.errors import PeekproofError
from pipeline.files.csv_rows import NO_VALUE
from pipeline.files.exports import NONE
from pipeline.files.frames import Input
from pipeline.files.left_out import NO_NUMBER, BadRow, LeftOut
from pipeline.files.pieces import Piece
from pipeline.files.titles import TABLE, listed
from schemas.look import MOST_UNUSABLE
from schemas.numbers import BEYOND, DECIMAL

NO_VALUES = ("", NO_VALUE, *NONE)

_NUMBER = f"^ *{DECIMAL} *$"


class Cells:
    """The cells of some columns. Take every piece, then join: `columns` are texts, null where nothing is said."""

    def __init__(self, names: Iterable[str], left_out: LeftOut) -> None:
        self.columns: dict[str, pa.Array] = {}
        self._names = tuple(dict.fromkeys(names))
        self._left_out = left_out
        self._parts: list[dict[str, pa.Array]] = []
        self._files: list[str] = []
        self._lines: list[NDArray[np.int64]] = []
        self._first: list[str] = []  # what the first line says, where no header tells

    def take(self, piece: Piece) -> None:
        """Read some more rows."""
        for row in piece.bad:
            self._left_out.reject(row)
        values = Texts(as_bytes(piece.data), np.cumsum(piece.length) - piece.length, piece.length)
        paths: dict[str, FieldPath] = {name: (TABLE, name) if piece.is_titled else (name,) for name in self._names}
        wanted = {(TABLE,): Type.OBJECT} if piece.is_titled else {}
        kind = Type.TEXT if piece.is_titled else Type.VALUE
        found = scan(
            values.data, values.start, values.length, Wanted(wanted | dict.fromkeys(paths.values(), kind), None)
        )
        columns = {name: found.texts(path).arrow().view(pa.large_string()) for name, path in paths.items()}
        if found.odd.any():
            columns = self._with_odd(columns, values, found.odd, piece, paths)
        if not (piece.is_titled or self._first):
            first = read_json(((values[0] if len(values) else None) or "{}").encode())
            self._first = [*first] if isinstance(first, dict) else []
        of_values = _said if piece.is_titled else _cells
        self._parts.append({name: of_values(column) for name, column in columns.items()})
        self._files += [piece.file]
        self._lines.append(piece.line)

    def _with_odd(
        self, columns: dict[str, pa.Array], rows: Texts, odd: Mask, piece: Piece, paths: Mapping[str, FieldPath]
    ) -> dict[str, pa.Array]:
        """The columns with what rows say that are read one by one; those that are no objects say nothing."""
        said: dict[str, list[str | None]] = {name: [] for name in columns}
        for place in np.flatnonzero(odd).tolist():
            row: Any = {}
            try:
                row = msgspec.json.decode(rows[place] or "", type=dict[str, msgspec.Raw])
                if piece.is_titled:
                    row = msgspec.json.decode(row[TABLE], type=dict[str, msgspec.Raw])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError) as error:
                self._left_out.reject(BadRow(piece.file, int(piece.line[place]), "not json", str(error)))
            for name, path in paths.items():
                value = bytes(row[path[-1]]).decode() if path[-1] in row else "null"
                written = msgspec.json.decode(value, type=str | None) if piece.is_titled else value
                said[name].append(None if value == "null" else written)
        mask = pa.array(odd)
        return {
            name: pc.replace_with_mask(column, mask, pa.array(said[name], pa.large_string()))
            for name, column in columns.items()
        }

    def join(self, needed: Iterable[str], files: Sequence[Input]) -> None:
        """There are no more. Raises PeekproofError where there are no rows, or a column that is needed is empty."""
        if not sum(map(len, self._lines)):
            named = listed([f"'{path}'" for path in files])
            raise PeekproofError(f"{named}: there are no rows")
        self.columns = {name: pa.concat_arrays([part[name] for part in self._parts]) for name in self._names}
        for name in needed:
            column = self.columns[name]
            if column.null_count == len(column):
                there = f"; its first row has {listed(self._first)}" if self._first else ""
                raise PeekproofError(f"'{files[0]}': '{name}' has no value in any of its {len(column):,} rows{there}")

    def place(self, row: int) -> tuple[str, int]:
        """The file and line of a row."""
        for file, lines in zip(self._files, self._lines, strict=True):
            if row < len(lines):
                return file, int(lines[row])
            row -= len(lines)
        raise IndexError(row)

    def numbers(self, name: str, kept: Mask, *, is_conversion: bool = False) -> Floats:
        """A column's numbers, NaN where there is none; what is no number is told of the rows that are kept."""
        texts = self.columns[name]
        truth = pc.match_substring_regex(texts, "^(?i:true|false)$").fill_null(False)
        numeric = pc.match_substring_regex(texts, _NUMBER).fill_null(False)
        plain = pc.ascii_ltrim(pc.ascii_trim(pc.if_else(numeric, texts, None), " "), "+")
        numbers = plain.cast(pa.float64())
        numbers = pc.if_else(truth, pc.equal(pc.utf8_lower(texts), "true").cast(pa.float64()), numbers)
        values: Floats = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False).copy()
        is_beyond = np.abs(values) >= BEYOND
        values[is_beyond] = np.nan
        if is_conversion:
            values[~np.isin(values, (0.0, 1.0))] = np.nan
        said = mask(pc.is_valid(texts)) & kept
        bad = np.flatnonzero(said & np.isnan(values)).tolist()
        for row in bad:
            file, line = self.place(row)
            what = "a number below 4.6e18, up or down" if is_beyond[row] else "a plain number: 1234.5"
            what = "0, 1, true or false" if is_conversion else what
            detail = f"{name} is {shown(texts[row].as_py())}; what counts is {what}"
            self._left_out.reject_value(BadRow(file, line, NO_NUMBER, detail), name)
        if loses_too_much(int(said.sum()) - len(bad), len(bad)):  # the column holds something else
            such = (row for row in self._left_out.bad if row.reason == NO_NUMBER)
            first = next(row for row in such if row.detail.startswith(f"{name} is "))
            raise PeekproofError(
                f"'{name}': {len(bad):,} of its {int(said.sum()):,} cells cannot be used; {first.file}:{first.line}: "
                f"{first.detail}. Above {MOST_UNUSABLE:.0%} such cells leave no unit out: name the column that is "
                "meant, write its numbers plainly, or empty the cells that say none"
            )
        return values


def mask(array: pa.Array) -> Mask:
    """An array of claims, none of them null."""
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


def _cells(values: pa.Array) -> pa.Array:
    """What JSON values say, as texts; null where they say nothing."""
    quoted = pc.match_substring_regex(values, '^"').fill_null(False)
    if pc.any(pc.match_substring(values, "\\")).as_py():
        return pa.array([_text(each) for each in values.to_pylist()], pa.large_string())
    return _said(pc.if_else(quoted, pc.utf8_trim(values, '"'), values))


def _said(texts: pa.Array) -> pa.Array:
    """The texts; null where they say nothing."""
    return pc.if_else(pc.is_in(texts, pa.array(NO_VALUES, pa.large_string())), None, texts)


def _text(value: str | None) -> str | None:
    text = msgspec.json.decode(value, type=str) if value and value.startswith('"') else value
    return None if text in NO_VALUES else text
