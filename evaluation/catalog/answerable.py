"""Answerable: what a document must satisfy so that every engine answers its flags, and all of them the same.

Whoever writes a document is asked for it, whichever way: by files, commands or HTTP. What stands on the log is not
judged by it, for its readers must go on as they did. A flag of the log that no engine can evaluate gives `off`, and
`fault_of` says why.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from evaluation.catalog.ids import id_fault
from evaluation.catalog.plan_rules import plan_notes
from evaluation.catalog.references import OFF, Known
from evaluation.catalog.rules import Path, Violation
from evaluation.flags.conditions import NONE, PATTERNS, REGEXES, condition_fault
from evaluation.flags.patterns import may_be_a_part, not_everywhere, words_end
from schemas.catalog import (
    Allocation,
    Cohort,
    Condition,
    Definition,
    Exempt,
    Flag,
    Group,
    GroupSlot,
    Metric,
    Segment,
    Variant,
)
from schemas.numbers import DECIMAL

ANY_OF = ("is", "contains", "set contains any", "regex match", "glob match")  # more values, more that match
NONE_OF = ("is not", "does not contain", "set does not contain any", "regex does not match", "glob does not match")
LAST_EXACT = 1 << 53  # the last of the whole numbers that doubles tell apart
NUMBER = re.compile(DECIMAL)
ORDERS = ("less", "less or equal", "greater", "greater or equal")
VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?")  # to every engine
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
OF_PROPERTIES = re.compile(r"(?:user_properties|event_properties|groups\.[^.]+\.group_properties)\.(.+)")
DOT = re.compile(r"(?<!\\)\.")  # that is not written as `\.`


def answer_violations(definition: Definition) -> Iterator[Violation]:
    """What of a definition engines cannot evaluate, or would read differently."""
    for path, condition in conditions_of(definition):
        yield from _condition_violations(condition, path)
    if isinstance(definition, Flag | Group):
        yield from _property_violations(definition.unit, ("unit",))
    if isinstance(definition, Flag):
        variants = [variant.key for variant in definition.variants]
        for index, key in enumerate(variants):
            yield from case_violations(key, [OFF, *variants[:index]], ("variants", index, "key"))
        for index, breakdown in enumerate(definition.breakdowns):
            yield from _property_violations(breakdown.property, ("breakdowns", index, "property"))
    for path, ids in _listed(definition):
        for index, each in enumerate(ids):
            if fault := id_fault(each):
                yield Violation((*path, index), fault)


def fault_of(allocation: Allocation) -> str | None:
    """Why no engine can evaluate who gets what by it; None: they can."""
    for segment in allocation.segments:
        for condition in segment.conditions:
            if condition.op in PATTERNS and (fault := condition_fault(condition.op, condition.values)):
                return f"segment '{segment.name}', {condition.property}: {fault}"
    return None


def case_violations(key: str, others: Iterable[str], path: Path = ("key",)) -> Iterator[Violation]:
    """Keys are told apart exactly, but no two may differ by their case alone."""
    for other in others:
        if key != other and key.lower() == other.lower():
            yield Violation(
                path, f"'{key}' and '{other}' differ by case alone; people take one for the other: rename one"
            )


def answer_notes(flag: Flag, known: Known) -> Iterator[Violation]:
    """What of a flag is allowed, and may be another than its author thinks."""
    names = [segment.name for segment in flag.segments]
    for index, segment in enumerate(flag.segments):
        path: Path = ("segments", index)
        if segment.name in names[:index]:
            yield Violation(
                (*path, "name"), f"'{segment.name}' is the name of two segments, and answers say it; name them apart"
            )
        before = next((each for each in flag.segments[:index] if _takes_all_of(each, segment)), None)
        if before is not None:
            why = "takes whoever satisfies its conditions" if before.conditions else "has no conditions"
            yield Violation(path, f"'{segment.name}' is never reached: '{before.name}' comes before it and {why}")
        elif (apart := _contradiction(segment)) is not None:
            yield Violation(path, f"'{segment.name}' is never reached: nobody's {apart} is two things at once")
    for path, pattern in _patterns_of(flag):
        if may_be_a_part(pattern):
            yield Violation(
                path, f"'{pattern}' is compared with the whole text; write '.*({pattern}).*' to find it anywhere in it"
            )
        if end := words_end(pattern):
            yield Violation(
                path,
                f"'{pattern}' has '{end}', by which some engines see words of ASCII alone, and others of every script: "
                "SDKs may answer otherwise for 'jürgen'; write out what stands there, such as (?:^|[ -])",
            )
    for path, condition in conditions_of(flag):
        bounds = [value for value in condition.values if not NUMBER.fullmatch(value)] if condition.op in ORDERS else []
        if path[0] == "segments" and bounds:
            yield Violation(
                path,
                f"'{bounds[0]}' is compared in the order of texts, which SDKs for JavaScript that evaluate by "
                "themselves never find true; for them compare numbers, such as milliseconds",
            )
    for index, variant in enumerate(flag.variants):
        if (number := _largest(variant.payload)) > LAST_EXACT:
            yield Violation(
                ("variants", index, "payload"),
                f"{number} is beyond 2^53, and JavaScript's clients read another number; for them write it in quotes",
            )
    for path, needed in units_needed(flag, known):
        yield Violation(path, needed)
    yield from plan_notes(flag)


def units_needed(flag: Flag, known: Known) -> Iterator[tuple[Path, str]]:
    """Where a flag gives `off` to whoever lacks a unit that is not its own: the groups and flags that decide by it."""
    of_groups = [
        (("groups", index), known.groups[each.group])
        for index, each in enumerate(flag.groups)
        if each.group in known.groups
    ]
    of_flags = [
        (("prerequisites", key), known.flags[key])
        for key, variants in flag.prerequisites.items()
        if key in known.flags and OFF not in variants
    ]
    parents: list[tuple[Path, Group | Flag]] = [*of_groups, *of_flags]
    for path, parent in parents:
        if parent.unit != flag.unit:
            yield (
                path,
                f"'{parent.key}' decides by {parent.unit}, and '{flag.key}' is bucketed by {flag.unit}: whoever has no "
                f"{parent.unit} gets 'off'",
            )


def _takes_all_of(earlier: Segment, later: Segment) -> bool:
    """Whether whoever matches the later segment matches the earlier one."""
    return all(any(_implies(own, each) for own in later.conditions) for each in earlier.conditions)


def _implies(one: Condition, other: Condition) -> bool:
    """Whether whoever satisfies one satisfies the other, as far as their values tell."""
    if (one.property, one.op) != (other.property, other.op):
        return False
    narrow, wide = set(one.values), set(other.values)
    return narrow == wide or (one.op in ANY_OF and narrow < wide) or (one.op in NONE_OF and wide < narrow)


def _contradiction(segment: Segment) -> str | None:
    """A field of the user, which has one value, that would have to be two."""
    values: dict[str, set[str]] = {}
    for each in segment.conditions:
        if each.op == "is" and "." not in each.property:
            values.setdefault(each.property, set(each.values)).intersection_update(each.values)
    return next((name for name, left in values.items() if not left), None)


def _largest(payload: object) -> int:
    """The largest whole number of a payload, without its sign; 0: it has none."""
    match payload:
        case bool():
            return 0
        case int():
            return abs(payload)
        case dict():
            return max(map(_largest, payload.values()), default=0)
        case list() | tuple():
            return max(map(_largest, payload), default=0)
    return 0


def conditions_of(definition: Definition) -> Iterator[tuple[Path, Condition]]:
    """Every condition of a definition, and where it stands."""
    match definition:
        case Flag():
            for index, segment in enumerate(definition.segments):
                for place, condition in enumerate(segment.conditions):
                    yield ("segments", index, "conditions", place), condition
            steps: list[tuple[Path, tuple[Condition, ...]]] = []
            if definition.exposure_event:
                steps.append((("exposure_event", "where"), definition.exposure_event.where))
        case Metric():
            steps = [(("where",), definition.where)]
            steps += [(("steps", index, "where"), step.where) for index, step in enumerate(definition.steps)]
            if definition.start:
                steps.append((("start", "where"), definition.start.where))
        case _:
            return
    for path, where in steps:
        for place, condition in enumerate(where):
            yield (*path, place), condition


def _patterns_of(flag: Flag) -> Iterator[tuple[Path, str]]:
    """The regular expressions that SDKs of other languages evaluate too, and where they stand."""
    for path, condition in conditions_of(flag):
        if path[0] == "segments" and condition.op in REGEXES:
            for index, pattern in enumerate(condition.values):
                yield (*path, "values", index), pattern


def _listed(definition: Definition) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Every list of ids, and where it stands."""
    lists: list[tuple[Path, Variant | GroupSlot | Exempt]] = []
    match definition:
        case Flag():
            lists = [(("variants", index), each) for index, each in enumerate(definition.variants)]
        case Group():
            lists = [(("slots", index), each) for index, each in enumerate(definition.slots)]
            if definition.exempt:
                lists.append((("exempt",), definition.exempt))
        case Cohort():
            yield ("ids",), definition.ids
    for path, each in lists:
        yield (*path, "users"), each.users
        yield (*path, "devices"), each.devices


def _condition_violations(condition: Condition, path: Path) -> Iterator[Violation]:
    yield from _property_violations(condition.property, (*path, "property"))
    if condition.op in PATTERNS and path[0] != "segments":
        return  # of a filter every reader refuses it
    for index, value in enumerate(condition.values):
        if value != NONE and (fault := _value_fault(condition.op, value)):
            yield Violation((*path, "values", index), fault)


def _value_fault(op: str, value: str) -> str | None:
    if op in PATTERNS:
        return condition_fault(op, (value,)) or (_unlike(value) if op in REGEXES else None)
    if op.startswith("version "):
        return None if VERSION.fullmatch(value) else _no_version(op, value)
    if op in ORDERS:
        return None if NUMBER.fullmatch(value) or _is_date(value) else _no_number(op, value)
    return None


def _unlike(pattern: str) -> str | None:
    """Why engines of other languages don't answer a pattern as ours does."""
    part = not_everywhere(pattern)
    return part and (
        f"'{pattern}' has '{part}', which engines of other languages refuse or read otherwise, and SDKs that "
        "evaluate by themselves might then have no flag at all; write out characters, such as [Pp]ro or [a-z]"
    )


def _no_version(op: str, value: str) -> str:
    found = re.search(r"[0-9]+(\.[0-9]+)*", value)
    digits = [] if found is None else found[0].split(".")[:3]
    way_out = ".".join(digits if len(digits) > 1 else [*digits, "0"]) if digits else "10.4.0"
    return (
        f"'{value}' is no version, and '{op}' would compare every user's as a text; write MAJOR.MINOR or "
        f"MAJOR.MINOR.PATCH, and nothing around it: '{way_out}'"
    )


def _no_number(op: str, value: str) -> str:
    way_out = (
        f"of versions write op: version {op}"
        if VERSION.fullmatch(value)
        else "write digits with a point for decimals and nothing else ('1000.5'), or an ISO 8601 date ('2026-03-01'), "
        "whose order as a text is time's"
    )
    return f"'{value}' is no number, and '{op}' would compare every user's as a text; {way_out}"


def _is_date(value: str) -> bool:
    try:
        return bool(DATE.fullmatch(value)) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _property_violations(name: str, path: Path) -> Iterator[Violation]:
    found = OF_PROPERTIES.fullmatch(name)
    if found and DOT.search(found[1]):
        escaped = DOT.sub(r"\\.", found[1])
        yield Violation(
            path,
            f"'{name}' leads into a property, and nothing within one is compared: send '{found[1]}' as a property of "
            f"its own. One whose very name has the dot is written {name.removesuffix(found[1])}{escaped}",
        )
