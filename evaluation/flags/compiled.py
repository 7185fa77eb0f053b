"""Compiled flags: what the engine runs. All that a flag can answer is known beforehand, as its outcomes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from evaluation.flags.conditions import CompiledCondition, View, compile_condition
from evaluation.flags.values import Selector, select, subject_of, text_of
from schemas.flag_config import ConditionConfig, FlagConfig, SegmentConfig

Reason = Literal["segment", "inclusion", "dependency", "sticky", "not allocated", "no unit", "inactive"]
Basis = Literal["everybody", "the rest", "condition", "hash"]
OF_SEGMENTS: dict[str, Reason] = {  # by the names that Amplitude gives to the segments that it makes; authors may not
    "individual-inclusions": "inclusion",
    "flag-dependencies": "dependency",
    "sticky-bucketing": "sticky",
    "default": "inactive",
}


HASHES = 1 << 32


class Answer(msgspec.Struct, frozen=True):
    """What a flag yields, and why. Answers are shared: don't change what they hold.

    - `key`: the variant, or `off`.
    - `value`: the variant's value: its key, unless a configuration says otherwise.
    - `payload`: what the variant carries, or None.
    - `metadata`: the flag's, the segment's and the variant's, the later winning: `flagVersion`, `experimentKey`, …
    - `reason`: `segment`, `inclusion`, `dependency`, `sticky`, `not allocated`, `inactive`; or `no unit`: the user
      lacks the unit by which the flag is split, or one that it depends on.
    - `basis`: what chose among the flag's answers: `everybody` (nothing: there is only this one), `the rest` (nothing,
      behind segments that didn't match), `condition` (a segment's), `hash` (the unit's).

    For example:

        answer = flags.evaluate({"user_id": "ann"})["dark-mode"]
        if answer.key != "off":
            show(answer.payload)
    """

    key: str
    value: Any
    payload: Any
    metadata: dict[str, Any]
    reason: Reason
    basis: Basis = "everybody"


@dataclass(frozen=True, slots=True)
class Reader:
    """What stands at a selector, as conditions view it; as a bucket does, in UTF-8, where `view` is None."""

    selector: Selector
    view: View | None

    def read(self, value: Any) -> Any:
        """What a value is to them."""
        if self.view is not None:
            return self.view(subject_of(value))
        text = text_of(value)
        return None if text is None else text.encode("utf-8", "replace")

    @property
    def is_of_result(self) -> bool:
        """Whether it is what another flag yielded."""
        return self.selector[:1] == ("result",)


@dataclass(slots=True)
class Outcome:
    """One of the answers that a flag can give, and what others read of it: (reading, what is found there).

    `without_unit` stands in for one that is due to another flag, where that lacked its unit.
    """

    code: int
    answer: Answer
    without_unit: "Outcome | None" = None
    read_by_others: list[tuple[int, Any]] = field(default_factory=list)

    def part(self, selector: Selector) -> Any:
        """What others see of the answer: its key, value, payload and metadata."""
        answer = self.answer
        parts = {"key": answer.key, "value": answer.value, "payload": answer.payload, "metadata": answer.metadata}
        return select(parts, selector)


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on what is found at a reading."""

    reading: int
    condition: CompiledCondition


@dataclass(frozen=True, slots=True)
class BucketShare:
    """Who gets an outcome: those with h % 100 in [first, stop) and h // 100 in [low, high)."""

    first: int
    stop: int
    low: int
    high: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class CompiledSegment:
    """`conditions`: lists of terms, one of which must match in full; None: everybody matches.

    Who has a text at `reading` is bucketed by the salt; the first share that holds it decides. All others get
    `otherwise`, and so does everybody where `reading` is -1; who has no text there gets `without_unit`.
    """

    conditions: list[list[Term]] | None
    reading: int
    salt: str
    shares: list[BucketShare]
    otherwise: Outcome | None
    without_unit: Outcome | None = None


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """Segments in order, and every outcome by its code."""

    key: str
    segments: list[CompiledSegment]
    outcomes: list[Outcome]
    read_by_others: list[int]  # readings


class Compiler:
    """Compiles flags that are evaluated together."""

    def __init__(self) -> None:
        self.readings: list[Reader] = []
        self._positions: dict[Reader, int] = {}

    def flag(self, config: FlagConfig) -> CompiledFlag:
        """The compiled form. Raises ConditionError for a pattern that RE2 refuses."""
        outcomes: list[Outcome] = []
        segments = [self._segment(config, segment, outcomes) for segment in config.segments]
        return CompiledFlag(config.key, segments, outcomes, [])

    def link(self, flags: Iterable[CompiledFlag]) -> None:
        """Note of each flag what others read of its outcomes."""
        by_key = {flag.key: flag for flag in flags}
        for position, reading in enumerate(self.readings):
            flag = by_key.get(reading.selector[1]) if reading.is_of_result and len(reading.selector) > 1 else None
            if flag is not None:
                flag.read_by_others.append(position)
                for outcome in flag.outcomes:
                    outcome.read_by_others.append((position, reading.read(outcome.part(reading.selector[2:]))))

    def _segment(self, config: FlagConfig, segment: SegmentConfig, outcomes: list[Outcome]) -> CompiledSegment:
        name = (segment.metadata or {}).get("segmentName")
        of_name = OF_SEGMENTS.get(name) if isinstance(name, str) else None
        known: dict[tuple[str, Reason], Outcome] = {}
        basis: Basis = "everybody" if segment is config.segments[0] else "the rest"
        if segment.bucket is not None:
            basis = "hash"
        elif segment.conditions is not None:
            basis = "condition"

        def outcome(variant: str | None, reason: Reason) -> Outcome | None:
            """Nothing where the flag has no such variant."""
            if variant is None or variant not in config.variants:
                return None
            key = variant, reason if reason == "no unit" else of_name or reason
            if key not in known:
                of = config.variants[variant]
                metadata = {**(config.metadata or {}), **(segment.metadata or {}), **(of.metadata or {})}
                known[key] = Outcome(len(outcomes), Answer(of.key, of.value, of.payload, metadata, key[1], basis))
                outcomes.append(known[key])
            return known[key]

        conditions = None
        if segment.conditions is not None:
            conditions = [[self._term(each) for each in every] for every in segment.conditions]
        bucket = segment.bucket
        if bucket is None:
            default = config.variants.get(segment.variant or "")
            is_off = default is not None and (default.metadata or {}).get("default") is True
            given = outcome(segment.variant, "not allocated" if is_off else "segment")
            if given is not None and of_name == "dependency":
                given.without_unit = outcome(segment.variant, "no unit")
            return CompiledSegment(conditions, -1, "", [], given)
        shares = [
            BucketShare(
                *_within(allocation.range), *_within(distribution.range), outcome(distribution.variant, "segment")
            )
            for allocation in bucket.allocations
            for distribution in allocation.distributions
        ]
        reading = self._reading(Reader(bucket.selector, None))
        otherwise = outcome(segment.variant, "not allocated"), outcome(segment.variant, "no unit")
        return CompiledSegment(conditions, reading, bucket.salt, shares, *otherwise)

    def _term(self, config: ConditionConfig) -> Term:
        condition = compile_condition(config.op, config.values)
        return Term(self._reading(Reader(config.selector, condition.view)), condition)

    def _reading(self, reading: Reader) -> int:
        if reading not in self._positions:
            self._positions[reading] = len(self.readings)
            self.readings.append(reading)
        return self._positions[reading]


def _within(bounds: tuple[int, int]) -> tuple[int, int]:
    """A range without what lies beyond every hash."""
    first, stop = (min(max(bound, 0), HASHES) for bound in bounds)
    return first, stop
