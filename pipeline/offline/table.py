"""Table: one row a unit, its variant in one column, its metrics in others: what a warehouse, R or a data frame gives.

No document says what it is about: columns are named, and the look is made as of any experiment, from the exact sums of
each arm. What a unit is worth is final, so its readings are settled. A row without a variant is left out; so is, of a
metric, one whose cell is empty, no plain number or beyond 2^62: nothing is read as zero, but what is next to nothing
beside the column's largest number, and that is told.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.assignment.dead_letters import shown
from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.columns.arrays import Floats, Mask
from evaluation.columns.quantising import quantised
from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.paths import Path as FieldPath
from evaluation.flags.values import read_json
from evaluation.significance.gates import lose_unevenly, loses_too_much
from evaluation.significance.look import look
from evaluation.significance.verdict import WAYS_OUT
from pipeline.errors import PeekproofError
from pipeline.files.exports import NONE
from pipeline.files.formats import NO_NUMBER, NO_VALUE, BadRow, Piece, keep, pieces
from pipeline.files.titles import TABLE, OfTable, listed
from schemas.aggregate import Aggregate, ArmCount, ArmPart, MetricHealth, Part, Sums
from schemas.catalog import Allocation, Analysis, Cuped, Flag, Goal, Metric, Variant
from schemas.look import EVERYONE, Look
from schemas.numbers import BEYOND, DECIMAL, exact

Method = Literal["sequential", "t-test", "bayesian"]

MOST_VARIANTS = 50
NO_VALUES = ("", NO_VALUE, *NONE)
DIGITS = 18  # of a quantised value, which 64 bits hold
PLACES = 100  # the most decimal places, so that their squares are still floats
UNITS = ("user_id", "device_id")  # columns that would tell that a unit has several rows

_NUMBER = f"^ *{DECIMAL} *$"
_KINDS = re.compile(r"(?P<column>.+?)(?::(?P<type>conversion|sum))?(?::(?P<direction>increase|decrease))?")


@dataclass(frozen=True, slots=True)
class Measured:
    """A column as a metric. `type` is None where its values decide: 0 and 1 alone make a conversion."""

    column: str
    type: Literal["conversion", "sum"] | None = None
    direction: Literal["increase", "decrease"] = "increase"

    @classmethod
    def of(cls, text: str) -> "Measured":
        """COLUMN[:conversion|:sum][:increase|:decrease]."""
        found = _KINDS.fullmatch(text)
        if found is None:
            raise PeekproofError(f"--metric '{text}' names no column; write COLUMN, or COLUMN:conversion")
        return cls(found["column"], found["type"], found["direction"] or "increase")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a table. The first metric is the primary one; the covariate explains a part of all of them.

    Unsaid, the control is the variant of that name, else the first by name, and the split was planned to be equal.
    """

    variant: str
    metrics: tuple[Measured, ...]
    covariate: str | None = None
    control: str | None = None
    weights: Mapping[str, int] | None = None
    method: Method = "sequential"

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that it reads, each once."""
        covariate = [self.covariate] if self.covariate is not None else []
        return tuple(dict.fromkeys([self.variant, *(each.column for each in self.metrics), *covariate]))


@dataclass(frozen=True, slots=True)
class _Column:
    """A metric, and of each arm the quantised numbers of its units: their values and, adjusted, their covariates.

    `lost` says how many units of each arm have none, where arms lose different shares.
    """

    metric: Metric
    arms: list[list[NDArray[Any]]]
    lost: list[ArmPart]

    @property
    def health(self) -> MetricHealth:
        return MetricHealth(self.metric.key, 0, 0, 0, 0, 0, parts=[Part(self.lost, of="units")])

    def sums(self, variant: str, arm: int) -> Sums:
        values = self.arms[arm]
        products = [one @ other for at, one in enumerate(values) for other in values[at:]]
        return Sums(
            metric=self.metric.key,
            version=1,
            reading="settled",
            allocation=0,
            variant=variant,
            segment=EVERYONE,
            n=len(values[0]),
            nonzero=int(np.count_nonzero(values[0])),
            first=[exact(int(each.sum())) for each in values],
            second=[exact(int(each)) for each in products],
        )


class TableAnalysis:
    """Files of one table. Iterate over it to read them: it gives the share that has been read; then ask for the look.

    `rejected` counts rows that were left out by file and reason, `unusable` cells by file, reason and column; `bad`
    holds examples of both, `notes` what else a reader should know.
    """

    def __init__(self, question: Question, paths: Sequence[Path]) -> None:
        self.bad: list[BadRow] = []
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.unusable: Counter[tuple[str, str, str]] = Counter()
        self.notes: list[str] = []
        self.rows: Counter[str] = Counter()
        self._question = question
        self._paths = list({path.resolve(): path for path in paths}.values())
        self._parts: list[dict[str, pa.Array]] = []
        self._files: list[str] = []
        self._lines: list[NDArray[np.int64]] = []
        self._first: list[str] = []  # what the first line says, where no header tells
        used = Counter([question.variant, *(each.column for each in question.metrics)])
        if twice := [column for column, count in used.items() if count > 1]:
            raise PeekproofError(f"'{twice[0]}' is named twice; a column is the variant's, or that of one metric")

    def __iter__(self) -> Iterator[float]:
        header = OfTable(self._question.columns, UNITS)
        ends = np.cumsum([path.stat().st_size for path in self._paths]).tolist()
        for path, end in zip(self._paths, ends, strict=True):
            rows = 0
            for piece in pieces(path, header):
                self._take(piece)
                rows += len(piece.line) + len(piece.bad)
                yield (end - (1 - piece.read) * path.stat().st_size) / max(1, ends[-1])
            if not rows:
                self.notes.append(f"'{path}' has no rows")

    def look(self) -> Look:
        """The look at the table, of which each row is a unit. Raises PeekproofError where it cannot be analysed."""
        question = self._question
        cells = self._joined()
        has_variant = _mask(pc.is_valid(cells[question.variant]))
        for row in np.flatnonzero(~has_variant).tolist():
            detail = f"{question.variant} is empty: the unit is in no arm"
            self._reject(BadRow(*self._place(row), "no variant", detail))
        self._tell_repeats(cells)
        coded = cells[question.variant].dictionary_encode()
        variants = self._variants(coded.dictionary.to_pylist())
        code = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = coded.dictionary.to_pylist()
        arms = [code == names.index(variant) for variant in variants]
        self.rows["units"] = int(has_variant.sum())

        covariate = None if question.covariate is None else self._numbers(question.covariate, cells, has_variant)
        arm_of = dict(zip(variants, arms, strict=True))
        columns = [self._column(each, cells, arm_of, covariate) for each in question.metrics]
        run = self._run(dict(zip(variants, self._weights(variants), strict=True)), columns)
        aggregate = Aggregate(
            flag=run.flag,
            run=run.key,
            partition=0,
            offset=0,
            clock=0,
            catalog=0,
            arms=[ArmCount(0, variant, int(arm.sum())) for variant, arm in zip(variants, arms, strict=True)],
            sums=[column.sums(variant, arm) for column in columns for arm, variant in enumerate(variants)],
            metrics=[column.health for column in columns if column.lost],
            exposures=self.rows["units"],
            final=question.method == "t-test",  # which is read once
        )
        found = look(run, [aggregate], None)
        return msgspec.structs.replace(found, cells=[cell for cell in found.cells if cell.reading == "settled"])

    def _run(self, weights: dict[str, int], columns: Sequence[_Column]) -> RunInForce:
        """The experiment that the question describes."""
        question = self._question
        smallest = min(len(a[0]) + len(column.arms[0][0]) for column in columns for a in column.arms[1:])
        analysis = Analysis(
            method=question.method,
            cuped=question.covariate is not None,
            # Of a table that is read once, whatever it has was planned.
            planned_units=smallest if question.method == "t-test" else None,
        )
        definition = Flag(
            key=self._paths[0].name,
            owner="-",
            variants=tuple(Variant(key=variant, weight=weight) for variant, weight in weights.items()),
            control=next(iter(weights)),
            metrics=tuple(
                Goal(metric=each.column, role="secondary" if number else "primary", direction=each.direction)
                for number, each in enumerate(question.metrics)
            ),
            analysis=analysis,
        )
        return RunInForce(
            flag=definition.key,
            key="table",
            salt="",
            allocations=(Allocation(flag_version=1, rollout=100, weights=weights),),
            started=0,
            completed=None,
            since={column.metric.key: 0 for column in columns},
            definition=definition,
            metrics={column.metric.key: MetricInForce(column.metric, 1, 0) for column in columns},
        )

    def _take(self, piece: Piece) -> None:
        for row in piece.bad:
            self._reject(row)
        values = Texts(as_bytes(piece.data), np.cumsum(piece.length) - piece.length, piece.length)
        names = (*self._question.columns, *UNITS)
        paths: dict[str, FieldPath] = {name: (TABLE, name) if piece.is_titled else (name,) for name in names}
        wanted = {(TABLE,): Type.OBJECT} if piece.is_titled else {}
        found = scan(
            values.data, values.start, values.length, Wanted(wanted | dict.fromkeys(paths.values(), Type.VALUE), None)
        )
        columns = {name: found.texts(path).arrow().view(pa.large_string()) for name, path in paths.items()}
        if found.odd.any():
            columns = self._with_odd(columns, values, found.odd, piece, paths)
        if not (piece.is_titled or self._first):
            first = read_json(((values[0] if len(values) else None) or "{}").encode())
            self._first = [*first] if isinstance(first, dict) else []
        self._parts.append({name: _cells(column) for name, column in columns.items()})
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
                self._reject(BadRow(piece.file, int(piece.line[place]), "not json", str(error)))
            for name, path in paths.items():
                value = bytes(row[path[-1]]).decode() if path[-1] in row else None
                said[name].append(None if value == "null" else value)
        mask = pa.array(odd)
        return {
            name: pc.replace_with_mask(column, mask, pa.array(said[name], pa.large_string()))
            for name, column in columns.items()
        }

    def _joined(self) -> dict[str, pa.Array]:
        file = self._paths[0]
        if not sum(map(len, self._lines)):
            files = listed([f"'{path}'" for path in self._paths])
            raise PeekproofError(f"{files}: there are no rows")
        cells = {name: pa.concat_arrays([part[name] for part in self._parts]) for name in self._parts[0]}
        for name in self._question.columns:
            if cells[name].null_count == len(cells[name]):
                there = f"; its first row has {listed(self._first)}" if self._first else ""
                raise PeekproofError(f"'{file}': '{name}' has no value in any of its {len(cells[name]):,} rows{there}")
        return cells

    def _place(self, row: int) -> tuple[str, int]:
        """The file and line of a row."""
        for file, lines in zip(self._files, self._lines, strict=True):
            if row < len(lines):
                return file, int(lines[row])
            row -= len(lines)
        raise IndexError(row)

    def _variants(self, names: list[str]) -> list[str]:
        """Control first, then the others by name."""
        column, control = self._question.variant, self._question.control
        if not 1 < len(names) <= MOST_VARIANTS:
            raise PeekproofError(
                f"'{column}' has {len(names):,} different values, {listed(sorted(names), 5)}; name the column of the "
                f"variants, of which there are 2 to {MOST_VARIANTS}"
            )
        if control is None:
            control = next((name for name in sorted(names) if name.lower() == "control"), min(names))
            self.notes.append(f"'{control}' is taken for the control; --control names another")
        if control not in names:
            raise PeekproofError(f"'{control}' is no value of '{column}'; {did_you_mean(control, names)}")
        return [control, *sorted(name for name in names if name != control)]

    def _weights(self, variants: Sequence[str]) -> list[int]:
        weights = self._question.weights
        if weights is None:
            self.notes.append("the split is taken as planned to be equal; --weights says another")
            return [1] * len(variants)
        if weights.keys() != set(variants):
            raise PeekproofError(f"--weights names {listed([*weights])}; the variants are {listed(variants)}")
        return [weights[variant] for variant in variants]

    def _tell_repeats(self, cells: Mapping[str, pa.Array]) -> None:
        for name in UNITS:
            there = cells[name].drop_null()
            repeats = len(there) - pc.count_distinct(there).as_py()
            if repeats and name not in self._question.columns:
                self.notes.append(
                    f"`{name}` repeats in {repeats:,} rows, and each row counts as a unit: make it one row a unit, or "
                    "give exposures and events"
                )

    def _column(
        self, asked: Measured, cells: Mapping[str, pa.Array], arm_of: Mapping[str, Mask], covariate: Floats | None
    ) -> _Column:
        name, type_ = asked.column, asked.type
        variants, arms = [*arm_of], [*arm_of.values()]
        values = self._numbers(name, cells, np.logical_or.reduce(arms), is_conversion=type_ == "conversion")
        if type_ is None:
            type_ = "conversion" if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all() else "sum"
            if type_ == "conversion":
                self.notes.append(
                    f"'{name}' is 0 or 1 wherever it is: a conversion; {name}:sum would be another answer"
                )
        is_there = ~np.isnan(values) if covariate is None else ~np.isnan(values) & ~np.isnan(covariate)
        whose = [arm & is_there for arm in arms]
        for mine in whose:
            if mine.sum() < 2:
                raise PeekproofError(
                    f"'{name}' has fewer than two units with a value in an arm; nothing can be compared"
                )
        used, left_out = ([int((arm & those).sum()) for arm in arms] for those in (is_there, ~is_there))
        is_uneven = lose_unevenly(used, left_out)
        if any(left_out):
            self.notes.append(_missing(name, variants, used, left_out, is_uneven=is_uneven))
        numbers = [values] if covariate is None else [values, covariate]
        scale = 0 if type_ == "conversion" and covariate is None else _scale([each[is_there] for each in numbers])
        for called, each in zip((name, self._question.covariate), numbers, strict=False):
            is_lost = (np.rint(each[is_there] * float(f"1e{scale}")) == 0) & (each[is_there] != 0)
            if is_lost.any():
                self.notes.append(
                    f"{is_lost.sum():,} values of {called} are below {0.5 * 10.0**-scale:.2g}, and count as 0"
                )
        described: dict[str, Any] = {"type": "conversion"}
        if scale or type_ == "sum":
            # An adjusted conversion has decimal places, so it is a sum that ends at 1.
            described = {"type": "sum", "property": name, "cap": 1.0 if type_ == "conversion" else None}
        cuped = None if covariate is None else Cuped(lookback="1d")
        metric = Metric(key=name, owner="-", event=name, window="1d", scale=scale, cuped=cuped, **described)
        lost = [ArmPart(0, *each) for each in zip(variants, used, left_out, strict=True)] if is_uneven else []
        return _Column(metric, [[_quantised(each[mine], scale) for each in numbers] for mine in whose], lost)

    def _numbers(self, name: str, cells: Mapping[str, pa.Array], kept: Mask, *, is_conversion: bool = False) -> Floats:
        """A column's numbers, NaN where there is none; what is no number is told of the rows that are kept."""
        texts = cells[name]
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
        said = _mask(pc.is_valid(texts)) & kept
        bad = np.flatnonzero(said & np.isnan(values)).tolist()
        for row in bad:
            file, line = self._place(row)
            what = "a number below 4.6e18, up or down" if is_beyond[row] else "a plain number: 1234.5"
            what = "0, 1, true or false" if is_conversion else what
            detail = f"{name} is {shown(texts[row].as_py())}; what counts is {what}"
            keep(self.bad, BadRow(file, line, NO_NUMBER, detail), self.unusable, (file, NO_NUMBER, name))
        if loses_too_much(int(said.sum()) - len(bad), len(bad)):  # the column holds something else
            first = next(row for row in self.bad if row.reason == NO_NUMBER and row.detail.startswith(f"{name} is "))
            raise PeekproofError(
                f"'{name}': {len(bad):,} of its {int(said.sum()):,} cells cannot be used; {first.file}:{first.line}: "
                f"{first.detail}"
            )
        return values

    def _reject(self, row: BadRow) -> None:
        keep(self.bad, row, self.rejected, (row.file, row.reason))


def _missing(
    name: str, variants: Sequence[str], used: Sequence[int], left_out: Sequence[int], *, is_uneven: bool
) -> str:
    """What a reader should know of the units that a metric leaves out."""
    arms = [
        f"{variant} {lost:,} of {lost + kept:,} ({lost / (lost + kept):.1%})"
        for variant, kept, lost in zip(variants, used, left_out, strict=True)
    ]
    told = f"{sum(left_out):,} units without {name}, or its covariate, are left out of it: {', '.join(arms)}"
    if is_uneven:
        return f"{told}; arms lose different shares, so what is left cannot be compared: {WAYS_OUT['units']}"
    if any(map(loses_too_much, used, left_out)):
        return f"{told}; only units that have one are compared: where that is an outcome too, fill in what is missing"
    return told


def _mask(array: pa.Array) -> Mask:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


def _cells(values: pa.Array) -> pa.Array:
    """What JSON values say, as texts; null where they say nothing."""
    quoted = pc.match_substring_regex(values, '^"').fill_null(False)
    if pc.any(pc.match_substring(values, "\\")).as_py():
        return pa.array([_text(each) for each in values.to_pylist()], pa.large_string())
    texts = pc.if_else(quoted, pc.utf8_trim(values, '"'), values)
    return pc.if_else(pc.is_in(texts, pa.array(NO_VALUES, pa.large_string())), None, texts)


def _text(value: str | None) -> str | None:
    text = msgspec.json.decode(value, type=str) if value and value.startswith('"') else value
    return None if text in NO_VALUES else text


def _scale(numbers: Iterable[Floats]) -> int:
    """The decimal places that write the numbers exactly; where none do, as many as fit beside the largest."""
    every = np.concatenate(list(numbers))
    largest = float(np.abs(every).max())
    most = DIGITS - (math.frexp(largest)[1] * 3 // 10 + 1) if largest else 0
    most = min(max(0, most), PLACES)
    for places in range(min(most, 15) + 1):
        factor = 10.0**places
        whole, rest = quantised(every, factor)
        if (whole + rest / factor == every).all():
            return places
    return most


def _quantised(numbers: Floats, scale: int) -> NDArray[Any]:
    whole, rest = (each.tolist() for each in quantised(numbers, float(f"1e{scale}")))
    return np.array([int(a) * 10**scale + int(b) for a, b in zip(whole, rest, strict=True)], dtype=object)
