"""Choices: a flag's segments written out as one Python function, for contexts that come one by one.

    def choose(found, target):
        if x3(v if (v := found[0]) is not UNREAD else x1(found, target)):
            return x4
        …

Walking through segments and conditions as objects takes half as long again. The text holds numbers and names alone;
what they stand for, the function finds among its globals.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from mmh3 import mmh3_32_uintdigest as murmur3

from evaluation.flags.compiled import CompiledFlag, CompiledSegment, Outcome, Reader, Term
from evaluation.flags.values import select

ReadValues = list[Any]  # by reading, what one context says there
Choice = Callable[[ReadValues, Any], Outcome | None]
UNREAD = object()  # stands for what nobody asked for yet


def choice_of(flag: CompiledFlag, readings: Sequence[Reader]) -> Choice:
    """Which outcome the flag has, by what was found in a target so far; what else is needed is read and noted."""
    names: dict[str, Any] = {"UNREAD": UNREAD, "murmur3": murmur3}
    free = map("x{}".format, count())

    def name(value: Any) -> str:
        names[key := next(free)] = value
        return key

    def found(position: int) -> str:
        read = name(_reader(position, readings[position]))
        return f"(v if (v := found[{position}]) is not UNREAD else {read}(found, target))"

    def term(each: Term) -> str:
        condition, value = each.condition, found(each.reading)
        if condition.listed is None:
            return f"{name(condition.meets)}{value}"
        is_listed = f"v {'not in' if condition.negated else 'in'} {name(frozenset(condition.listed.names))}"
        return f"({is_listed} if (v := {value}).__class__ is str else {name(condition.meets)}(v))"

    def segment(each: CompiledSegment) -> list[str]:
        otherwise, without_unit = name(each.otherwise), name(each.without_unit)
        if each.reading < 0:
            given = [f"return {otherwise}"] if each.otherwise else []
        else:
            shares = [(share.first, share.stop, share.low, share.high, share.outcome) for share in each.shares]
            given = [
                f"outcome = {without_unit}",
                f"if text := {found(each.reading)}:",
                f" outcome = {otherwise}",
                f" share, percent = divmod(murmur3({name(f'{each.salt}/'.encode('utf-8', 'replace'))} + text), 100)",
                f" for first, stop, low, high, of_share in {name(shares)}:",
                "  if low <= share < high and first <= percent < stop:",
                "   outcome = of_share",
                "   break",
                "if outcome is not None:",
                " return outcome",
            ]
        if each.conditions is None:
            return given
        alternatives = [" and ".join(map(term, every)) or "True" for every in each.conditions]
        return [f"if {' or '.join(alternatives) or 'False'}:", *(f" {line}" for line in given or ["pass"])]

    lines = [line for each in flag.segments for line in segment(each)]
    exec("\n ".join(["def choose(found, target):", *lines, "return None"]), names)
    return names["choose"]


def _reader(position: int, reading: Reader) -> Callable[[ReadValues, Any], Any]:
    def read(found: ReadValues, target: Any) -> Any:
        value = found[position] = reading.read(select(target, reading.selector))
        return value

    return read
