"""Measuring: a table's column as a metric: its type, its decimal places, and the quantised numbers of each arm."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import MetricInForce
from evaluation.columns.arrays import Floats, Mask
from evaluation.columns.quantising import quantised
from evaluation.significance.gates import lose_unevenly, loses_too_much
from evaluation.significance.verdict import WAYS_OUT
from pipeline.errors import PeekproofError
from pipeline.offline.cells import Cells
from pipeline.offline.question import Measured
from schemas.aggregate import ArmPart, MetricHealth, Part, Sums
from schemas.catalog import Cuped, Metric
from schemas.look import EVERYONE
from schemas.numbers import BEYOND, exact

DIGITS = 18  # of a quantised value, which 64 bits hold
LIMB = 21  # bits
ROWS_AT_ONCE = 1 << 20  # whose limbs' products add up to less than 2^62
PLACES = 100  # the most decimal places, so that their squares are still floats


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A metric, and of each arm the quantised numbers of its units: their values and, adjusted, their covariates.

    `segments` are the names of strata, by number, and `codes` those of each arm's units. `lost` says how many units of
    each arm have none, where arms lose different shares.
    """

    metric: MetricInForce
    arms: list[list[NDArray[np.int64]]]
    lost: list[ArmPart]
    segments: Sequence[str] = ()
    codes: Sequence[NDArray[np.int64]] = ()

    @property
    def key(self) -> str:
        """The metric's."""
        return self.metric.definition.key

    @property
    def health(self) -> MetricHealth:
        """What it lost."""
        return MetricHealth(self.key, 0, 0, 0, 0, 0, parts=[Part(self.lost, of="units")])

    def sums(self, variant: str, arm: int) -> Iterator[Sums]:
        """The exact sums of an arm, by its number: over all its units, and over those of each stratum."""
        values = self.arms[arm]
        yield self._sums(variant, EVERYONE, values)
        for code, segment in enumerate(self.segments):
            its = self.codes[arm] == code
            yield self._sums(variant, segment, [each[its] for each in values])

    def _sums(self, variant: str, segment: str, values: Sequence[NDArray[np.int64]]) -> Sums:
        products = [_dot(one, other) for at, one in enumerate(values) for other in values[at:]]
        return Sums(
            metric=self.key,
            version=1,
            reading="settled",
            allocation=0,
            variant=variant,
            segment=segment,
            n=len(values[0]),
            nonzero=int(np.count_nonzero(values[0])),
            first=[exact(_dot(each, np.ones_like(each))) for each in values],
            second=[exact(each) for each in products],
        )


@dataclass(frozen=True, slots=True)
class Covariate:
    """A column that explains a part of every metric: its numbers, NaN where there is none."""

    name: str
    numbers: Floats


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of names, and of each row the number of its name, -1 where it is empty."""

    names: Sequence[str]
    of_row: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known of rows beside their metrics: covariates, the strata, and the clusters that were randomised."""

    covariates: Sequence[Covariate] = ()
    strata: Codes | None = None
    clusters: Codes | None = None


def measure(asked: Measured, cells: Cells, arm_of: Mapping[str, Mask], by: Explained, notes: list[str]) -> MetricColumn:
    """A column as a metric; `notes` are told what a reader should know of it."""
    name, type_ = asked.column, asked.type
    variants, arms = [*arm_of], [*arm_of.values()]
    values = cells.numbers(name, np.logical_or.reduce(arms), is_conversion=type_ == "conversion")
    if type_ is None:
        type_ = "conversion" if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all() else "sum"
        if type_ == "conversion":
            notes.append(f"'{name}' is 0 or 1 wherever it is: a conversion; {name}:sum would be another answer")
    is_there = ~np.isnan(values)
    for covariate in by.covariates:
        is_there &= ~np.isnan(covariate.numbers)
    whose = [arm & is_there for arm in arms]
    for mine in whose:
        if mine.sum() < 2:
            raise PeekproofError(f"'{name}' has fewer than two units with a value in an arm; nothing can be compared")
    used, left_out = ([int((arm & those).sum()) for arm in arms] for those in (is_there, ~is_there))
    is_uneven = lose_unevenly(used, left_out)
    if any(left_out):
        notes.append(_missing(name, variants, used, left_out, is_uneven=is_uneven))
    first, others = by.covariates[:1], by.covariates[1:]

    def places_of(*numbers: Floats) -> int:
        its = [each[is_there] for each in numbers]
        return _scale(its, _largest(its, by.clusters.of_row[is_there] if by.clusters else None))

    # Its own past, as the first covariate stands for, has the metric's decimal places.
    scale = 0 if type_ == "conversion" and not first else places_of(values, *(each.numbers for each in first))
    numbers = [(name, values, scale), *((each.name, each.numbers, scale) for each in first)]
    numbers += [(each.name, each.numbers, places_of(each.numbers)) for each in others]
    for called, each, places in numbers:
        is_lost = (np.rint(each[is_there] * float(f"1e{places}")) == 0) & (each[is_there] != 0)
        if is_lost.any():
            notes.append(f"{is_lost.sum():,} values of {called} are below {0.5 * 10.0**-places:.2g}, and count as 0")
    metric = _metric(name, type_, by, [places for *_, places in numbers])
    lost = [ArmPart(0, *each) for each in zip(variants, used, left_out, strict=True)] if is_uneven else []
    quantised_ = [[_quantised(each[mine], places) for _, each, places in numbers] for mine in whose]
    strata = by.strata
    codes = [strata.of_row[mine] for mine in whose] if strata else []
    if by.clusters:
        quantised_ = [_clustered(its, by.clusters.of_row[mine]) for its, mine in zip(quantised_, whose, strict=True)]
    return MetricColumn(metric, quantised_, lost, strata.names if strata else (), codes)


def _metric(name: str, type_: str, by: Explained, places: Sequence[int]) -> MetricInForce:
    """A document of the metric, as one that reads events would be."""
    scale, others = places[0], tuple(each.name for each in by.covariates[1:])
    described: dict[str, Any] = {"type": "conversion"}
    if scale or type_ == "sum" or by.clusters:
        # An adjusted conversion has decimal places, so it is a sum that ends at 1.
        is_share = type_ == "conversion" and not by.clusters
        described = {"type": "sum", "property": name, "cap": 1.0 if is_share else None}
    cuped = Cuped(lookback="1d", others=others) if by.covariates else None
    metric = Metric(key=name, owner="-", event=name, window="1d", scale=scale, cuped=cuped, **described)
    read = [
        (Metric(key=each, owner="-", type="sum", event=each, property=each, window="1d", scale=its),)
        for each, its in zip(others, places[2:], strict=True)
    ]
    if not by.clusters:
        return MetricInForce(metric, 1, 0, others=tuple(read))
    rows = Metric(key=f"rows of {name}", owner="-", type="count", event=name, window="1d")
    ratio = Metric(
        key=name, owner="-", type="ratio", numerator=name, denominator=rows.key, window="1d", cuped=metric.cuped
    )
    return MetricInForce(ratio, 1, 0, parts=(metric, rows), others=tuple((*each, rows) for each in read))


def _clustered(numbers: Sequence[NDArray[np.int64]], codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Of each cluster the sums of its rows' numbers, each with the number of its rows behind it."""
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rows = np.diff(begins, append=len(codes))
    return [each for values in numbers for each in (np.add.reduceat(values[order], begins), rows)]


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


def _largest(numbers: Sequence[Floats], clusters: NDArray[np.int64] | None) -> float:
    """What a unit's number may come to: of clusters the sum of its rows'."""
    sizes = [np.abs(each) if clusters is None else np.bincount(clusters, np.abs(each)) for each in numbers]
    largest = max(float(each.max()) for each in sizes)
    if largest >= BEYOND:
        raise PeekproofError(f"a cluster's rows add up to {largest:.2g}; what is added exactly ends at {BEYOND:.2g}")
    return largest


def _scale(numbers: Iterable[Floats], largest: float) -> int:
    """The decimal places that write the numbers exactly; where none do, as many as fit beside the largest."""
    every = np.concatenate(list(numbers))
    most = DIGITS - (math.frexp(largest)[1] * 3 // 10 + 1) if largest else 0
    most = min(max(0, most), PLACES)
    for places in range(min(most, 15) + 1):
        factor = 10.0**places
        whole, rest = quantised(every, factor)
        if (whole + rest / factor == every).all():
            return places
    return most


def _quantised(numbers: Floats, scale: int) -> NDArray[np.int64]:
    whole, rest = quantised(numbers, float(f"1e{scale}"))
    if scale > DIGITS:  # of numbers so small nothing stands before the point
        return rest.astype(np.int64)
    return whole.astype(np.int64) * 10**scale + rest.astype(np.int64)


def _dot(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """The exact sum of their products, by limbs whose products 64 bits can add up."""
    total = 0
    for begin in range(0, len(one), ROWS_AT_ONCE):
        parts = [_limbs(each[begin : begin + ROWS_AT_ONCE]) for each in (one, other)]
        for (left, low), (right, high) in product(*parts):
            total += int(low @ high) << (left + right)
    return total


def _limbs(numbers: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """By the bits that stand below each; the highest has the sign."""
    below = (1 << LIMB) - 1
    return [(0, numbers & below), (LIMB, (numbers >> LIMB) & below), (2 * LIMB, numbers >> (2 * LIMB))]
