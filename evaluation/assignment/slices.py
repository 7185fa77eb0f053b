"""Slices: which variant of each flag many contexts get, by the columns of what stands in them.

Of a column every distinct value is asked once, by the same conditions that the engine asks of one context, and hashed
alike: so both agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.properties import PropertyColumn
from evaluation.columns.arrays import Mask
from evaluation.flags.compiled import Answer, CompiledFlag, CompiledSegment, Outcome, Term
from evaluation.flags.engine import Flags
from evaluation.flags.values import Selector

NO_OUTCOME = -1  # the code of no outcome


@dataclass(frozen=True, slots=True)
class Answers:
    """One flag's answers to n contexts: positions in `outcomes`, -1 where it yields nothing."""

    codes: NDArray[np.int64]  # (n,)
    outcomes: tuple[Answer, ...]

    @property
    def lacks_unit(self) -> Mask:
        """Which contexts lack what is bucketed."""
        return np.array([*(each.reason == "no unit" for each in self.outcomes), False])[self.codes]  # -1 is the last

    def __getitem__(self, i: int) -> Answer | None:
        code = int(self.codes[i])
        return self.outcomes[code] if code >= 0 else None


def evaluate_columns(
    flags: Flags, columns: Mapping[Selector, PropertyColumn], n: int, keys: Sequence[str] | None = None
) -> dict[str, Answers]:
    """What each flag yields for n contexts, of which `columns` hold what stands at each of `selectors`.

    A selector without a column is missing in each of them.
    """
    found = [columns.get(reading.selector) for reading in flags.readings]
    answers: dict[str, Answers] = {}
    for flag in flags.asked(keys):
        codes = _codes(flag, found, n)
        due_to_others = [(each.code, each.without_unit.code) for each in flag.outcomes if each.without_unit]
        if due_to_others:
            parents = [answers[parent] for parent in flags.dependencies[flag.key] if parent in answers]
            lacks = np.logical_or.reduce([parent.lacks_unit for parent in parents])
            for code, without_unit in due_to_others:
                codes[lacks & (codes == code)] = without_unit
        answers[flag.key] = Answers(codes, tuple(outcome.answer for outcome in flag.outcomes))
        for position in flag.read_by_others:
            part = flags.readings[position].selector[2:]
            values = [*(outcome.part(part) for outcome in flag.outcomes), None]
            found[position] = PropertyColumn.of_codes(codes, values)  # -1, where it yields nothing, is the last
    return answers if keys is None else {key: answers[key] for key in keys if key in answers}


def _codes(flag: CompiledFlag, found: list[PropertyColumn | None], n: int) -> NDArray[np.int64]:
    """The code of each context's outcome; -1: none."""
    codes = np.full(n, NO_OUTCOME, np.int64)
    is_open = np.ones(n, np.bool_)
    for segment in flag.segments:
        matched = is_open if segment.conditions is None else is_open & _matched(segment.conditions, found, n)
        given = np.where(matched, _given(segment, found, n), NO_OUTCOME)
        codes = np.where(given >= 0, given, codes)
        is_open &= given < 0
        if not is_open.any():
            break
    return codes


def _matched(conditions: list[list[Term]], found: list[PropertyColumn | None], n: int) -> Mask:
    matched = np.zeros(n, np.bool_)
    for every in conditions:
        mask = np.ones(n, np.bool_)
        for term in every:
            column = found[term.reading]
            mask &= term.condition.matches(None) if column is None else column.mask(term.condition)
        matched |= mask
    return matched


def _given(segment: CompiledSegment, found: list[PropertyColumn | None], n: int) -> NDArray[np.int64]:
    """The code of the outcome that the segment gives to each context, if it matches."""
    if segment.reading < 0:
        return np.full(n, _code(segment.otherwise), np.int64)
    column = found[segment.reading]
    if column is None:
        return np.full(n, _code(segment.without_unit), np.int64)
    hashes, has_text = column.hashes(segment.salt)
    codes = np.where(has_text, _code(segment.otherwise), _code(segment.without_unit))
    share, percent = np.divmod(hashes, np.uint32(100))
    for each in reversed(segment.shares):  # the first that holds it wins
        holds = has_text & (each.first <= percent) & (percent < each.stop) & (each.low <= share) & (share < each.high)
        codes[holds] = _code(each.outcome)
    return codes


def _code(outcome: Outcome | None) -> int:
    return NO_OUTCOME if outcome is None else outcome.code
