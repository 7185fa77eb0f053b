"""Broken split: which slice of the units explains that they are not split as promised?

Of each slice and arm the exact binomial test says how likely so few, or so many, of the slice's units are when each is
in that arm with the chance that its allocation's weights give it. (With several allocations the chances differ; their
mean's binomial has the heavier tails: Hoeffding 1956.) A slice's p-value is that of its arm that is off most, times
the arms that differ. Holm corrects over all slices of all properties that were tested.

Where one slice loses units, so do all slices that share some with it. The one with the smallest p-value is named; then
its units are left out, and the rest is searched again, as long as the rest is broken by itself. A slice that holds
everybody, but for fewer than could be tested, explains nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc

from evaluation.columns.arrays import Floats, Mask
from evaluation.exploring.answer import SplitArm, SplitCause, SplitSearch
from evaluation.exploring.slices import Slices
from evaluation.significance import multiplicity

ALPHA = 0.01  # as looks judge the split
FEWEST = 50  # units of a slice that is tested
MOST_CAUSES = 3
SAME = 0.9  # of the units of both, which makes of two slices one cause


class SplitUnits(NamedTuple):
    """The units of a run that count: in which variant each is, and its chance of being in each (units, variants)."""

    variants: list[str]
    variant: NDArray[np.int64]
    chances: Floats


class _Tested(NamedTuple):
    """Of each slice that was tested: its breakdown and place, and by variant its units and those promised."""

    place: list[tuple[int, int]]
    units: NDArray[np.int64]
    promised: Floats
    p_value: Floats
    variant: NDArray[np.int64]  # that is off most


def broken_split(units: SplitUnits, breakdowns: Sequence[Slices]) -> SplitSearch:
    """The search over the slices of all breakdowns."""
    there = np.ones(len(units.variant), np.bool_)
    p_value = _whole(units, there)
    tested = _test(units, breakdowns, there)
    causes = [*_causes(units, breakdowns, tested, there)]
    return SplitSearch(
        properties=[each.by for each in breakdowns],
        tested=len(tested.place),
        p_value=p_value,
        causes=causes,
        says=_says(causes, len(tested.place), p_value, len(there)),
    )


def _whole(units: SplitUnits, there: Mask) -> float:
    """The p-value of all these units together; 1 where they are too few to be tested."""
    everyone = Slices((), [(), ()], np.ones(len(units.variant), np.int64), has_others=False)
    return float(_test(units, [everyone], there).p_value.min(initial=1.0))


def _causes(units: SplitUnits, breakdowns: Sequence[Slices], tested: _Tested, there: Mask) -> Iterator[SplitCause]:
    for _ in range(MOST_CAUSES):
        if not tested.place:
            return
        adjusted = multiplicity.holm(tested.p_value)
        first = int(np.argmin(tested.p_value))
        if not adjusted[first] < ALPHA:
            return
        at, place = tested.place[first]
        inside = there & (breakdowns[at].code == place)
        there = there & ~inside
        yield _cause(units, breakdowns[at], place, tested, first, float(adjusted[first]), _whole(units, there))
        tested = _test(units, breakdowns, there)


def _cause(  # noqa: PLR0917
    units: SplitUnits, breakdown: Slices, place: int, tested: _Tested, row: int, adjusted: float, rest: float
) -> SplitCause:
    counts, promised, variant = tested.units[row], tested.promised[row], int(tested.variant[row])
    n = int(counts.sum())
    others = n - int(counts[variant])
    share = promised[variant] / n
    return SplitCause(
        by=breakdown.by,
        slice=breakdown.values[place],
        arms=[
            SplitArm(variant=name, units=int(count), promised=float(each))
            for name, count, each in zip(units.variants, counts, promised, strict=True)
        ],
        variant=units.variants[variant],
        missing=float(others * share / (1.0 - share) - counts[variant]) if share < 1.0 else 0.0,
        p_value=float(tested.p_value[row]),
        adjusted_p_value=adjusted,
        rest_p_value=rest,
    )


def _test(units: SplitUnits, breakdowns: Sequence[Slices], there: Mask) -> _Tested:
    width = len(units.variants)
    place: list[tuple[int, int]] = []
    counts: list[NDArray[np.int64]] = [np.zeros((0, width), np.int64)]
    promised: list[Floats] = [np.zeros((0, width))]
    variant, chances = units.variant[there], units.chances[there]
    for at, breakdown in enumerate(breakdowns):
        code, size = breakdown.code[there], len(breakdown.values)
        number = np.bincount(code * width + variant, minlength=size * width).reshape(size, width)
        due: Floats = np.zeros((size, width))
        for v in range(width):
            due[:, v] = np.bincount(code, chances[:, v], minlength=size)
        size_of = number.sum(axis=1)
        kept = np.flatnonzero((size_of >= FEWEST) & ((len(variant) - size_of >= FEWEST) | (not breakdown.by)))
        place += [(at, int(each)) for each in kept]
        counts.append(number[kept])
        promised.append(due[kept])
    found, expected = np.concatenate(counts), np.concatenate(promised)
    n = found.sum(axis=1, keepdims=True)
    share = np.clip(expected / np.maximum(n, 1), 0.0, 1.0)
    p_values = np.where((share > 0.0) & (share < 1.0), _two_sided(found, n, share), 1.0)
    different = np.maximum((expected > 0.0).sum(axis=1), 2)
    tests = np.where(different == 2, 1, different)
    smallest = np.minimum(1.0, p_values.min(axis=1, initial=1.0) * tests)
    # Of two arms that are off as much it is the one that lacks units.
    is_off_most = p_values <= p_values.min(axis=1, keepdims=True, initial=1.0) * (1.0 + 1e-9)
    lacking = np.where(is_off_most, expected - found, -np.inf)
    return _Tested(place, found, expected, smallest, lacking.argmax(axis=1))


def _two_sided(x: NDArray[np.int64], n: NDArray[np.int64], p: Floats) -> Floats:
    """Twice the smaller tail of the binomial distribution."""
    whole = np.broadcast_to(n, x.shape).astype(np.float64)
    below = bdtr(x.astype(np.float64), whole, p)
    above = np.where(x > 0, bdtrc(x.astype(np.float64) - 1.0, whole, p), 1.0)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(below, above)))


def _says(causes: Sequence[SplitCause], tested: int, p_value: float, units: int) -> str:
    if units < FEWEST:
        return f"{units or 'no'} units are too few for a split to be judged; from {FEWEST} on it is"
    if not causes:
        whole = "which none of these slices explains" if p_value < ALPHA else "as it should be"
        says = (
            f"none of {tested:,} slices is split worse than by chance" if tested else "there are no slices to compare"
        )
        return f"{says}; all units together have p = {p_value:.2g}, {whole}"
    told = []
    for each in causes:
        number = abs(round(each.missing))
        verb = "lacks" if each.missing > 0 else "has too many:"
        names = ", ".join(f"{name} {value}" for name, value in zip(each.by, each.slice, strict=True))
        told.append(f"where {names}, {each.variant} {verb} about {number:,} units (p = {each.adjusted_p_value:.2g})")
    rest = causes[-1].rest_p_value
    fine = "is split as promised" if rest >= ALPHA else "is broken too, by what no slice shows"
    return f"{'; '.join(told)}. The rest {fine} (p = {rest:.2g})"
