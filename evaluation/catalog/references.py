"""References: what documents say of one another: unknown names, cycles of prerequisites, slots that are not there."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from evaluation.catalog.rules import Path, Violation, did_you_mean, percentage_violations
from evaluation.flags.graph import in_order
from schemas.catalog import Cohort, Condition, Flag, Group, Membership, Metric
from schemas.numbers import hundredths

COHORT_OPERATORS = ("set contains any", "set does not contain any")
OFF = "off"  # every flag's silent variant
HELD_OUT, MET = "holdout", "on"  # the variants of a holdout

_SPLITS = ("rollout", "segments", "prerequisites", "groups", "sticky", "plan")  # fields that say who gets what


@dataclass(frozen=True, slots=True)
class Known:
    """The documents that can be named. Removed flags are none of them."""

    flags: Mapping[str, Flag] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    cohorts: Mapping[str, Cohort] = field(default_factory=dict)
    deployments: Collection[str] = ()


def reference_violations(flag: Flag, known: Known) -> Iterator[Violation]:
    """What a flag says of other documents that is not so."""
    for index, deployment in enumerate(flag.deployments):
        if deployment not in known.deployments:
            yield _unknown(("deployments", index), deployment, "deployment", known.deployments)
    for index, variant in enumerate(flag.variants):
        yield from _cohort_violations(("variants", index, "cohorts"), variant.cohorts, "cohort", known)
    for index, segment in enumerate(flag.segments):
        for place, condition in enumerate(segment.conditions):
            path = ("segments", index, "conditions", place)
            if condition.property.startswith("event_properties."):
                yield Violation(
                    (*path, "property"),
                    f"'{condition.property}' is of an event, but a segment is of users; compare a property of the user",
                )
            yield from condition_violations(condition, path, known)
    yield from _prerequisite_violations(flag, known)
    yield from _membership_violations(flag, known)
    if flag.holdout is not None:
        yield from _holdout_violations(flag, flag.holdout, known)


def condition_violations(condition: Condition, path: Path, known: Known) -> Iterator[Violation]:
    """What is wrong with a condition on cohorts. Every other one holds or not; none can be wrong."""
    if not is_of_cohorts(condition.property):
        return
    if condition.op not in COHORT_OPERATORS:
        yield Violation(
            (*path, "op"), f"'{condition.op}' compares no cohorts; write one of: {', '.join(COHORT_OPERATORS)}"
        )
    yield from _cohort_violations((*path, "values"), condition.values, condition.property, known)


def is_of_cohorts(prop: str) -> bool:
    """Whether a condition's property is the cohorts that a unit is in, and not one that is merely called so."""
    is_called_so = prop.startswith(("user_properties.", "event_properties."))
    return prop == "cohort" or (prop.endswith(".cohort") and not is_called_so)


def group_violations(group: Group, known: Known) -> Iterator[Violation]:
    """What is wrong with a group's definition."""
    for index, slot in enumerate(group.slots):
        yield from percentage_violations(slot.percentage, ("slots", index, "percentage"))
    total = sum(hundredths(slot.percentage) for slot in group.slots) / 100
    if group.type == "holdout":
        if len(group.slots) != 1:
            yield Violation(("slots",), f"there are {len(group.slots)}; a holdout has one: the units that it holds out")
        elif not 0 < total < 100:
            yield Violation(
                ("slots", 0, "percentage"), f"{total:g} is not allowed; a holdout holds out 0.01 to 99.99 %"
            )
    elif total > 100:
        yield Violation(("slots",), f"the percentages sum to {total:g}; together they are at most 100")
    if group.exempt and group.type != "holdout":
        yield Violation(("exempt",), "is for a holdout; list units in the slot that they always belong to")
    elif group.exempt:
        yield from _cohort_violations(("exempt", "cohorts"), group.exempt.cohorts, "cohort", known)
    if group.key in known.flags:
        yield Violation(("key",), f"'{group.key}' is the key of a flag; flags and groups share one space of names")
    for index, slot in enumerate(group.slots):
        yield from _cohort_violations(("slots", index, "cohorts"), slot.cohorts, "cohort", known)


def regrouping_violations(before: Group, after: Group, running: Collection[str]) -> Iterator[Violation]:
    """What may not change of a group while flags of it run: who is in which slot."""
    for name, old, new in (
        ("type", before.type, after.type),
        ("unit", before.unit, after.unit),
        ("slots", _percentages(before), _percentages(after)),
    ):
        if old != new and running:
            yield Violation(
                (name,),
                f"would change from {old} to {new} while {', '.join(sorted(running))} runs, "
                "and units would move between slots; complete what runs, or make another group",
            )


def cohort_violations(cohort: Cohort, before: Cohort | None = None) -> Iterator[Violation]:
    """What is wrong with a cohort's definition, or with what becomes of the former one."""
    if cohort.unit.startswith("user_properties."):
        yield Violation(("unit",), f"'{cohort.unit}' is not allowed; the ids are of user_id, device_id or groups.TYPE")
    if before is not None and before.unit != cohort.unit:
        yield Violation(
            ("unit",), f"would change from {before.unit} to {cohort.unit} below those who name it; make another cohort"
        )


def prerequisite_order(flags: Mapping[str, Flag]) -> list[str]:
    """The keys, each flag behind those that it needs; those on a cycle come first."""
    order, cycles = in_order({key: tuple(flag.prerequisites) for key, flag in flags.items()})
    return [*chain(*cycles), *order]


def metric_order(metrics: Iterable[Metric]) -> tuple[list[str], list[list[str]]]:
    """The keys, each metric behind those that it names, otherwise by name; and those on cycles, by cycles."""
    named = {
        metric.key: [
            *filter(None, (metric.numerator, metric.denominator)),
            *(metric.cuped.others if metric.cuped else ()),
        ]
        for metric in sorted(metrics, key=lambda each: each.key)
    }
    return in_order(named)


def dependents(key: str, flags: Mapping[str, Flag], variant: str | None = None) -> list[str]:
    """The flags whose prerequisites name the flag (and that variant of it)."""
    return sorted(
        each
        for each, flag in flags.items()
        if key in flag.prerequisites and (variant is None or variant in flag.prerequisites[key])
    )


def _prerequisite_violations(flag: Flag, known: Known) -> Iterator[Violation]:
    for parent, variants in flag.prerequisites.items():
        path = ("prerequisites", parent)
        if parent == flag.key:
            yield Violation(path, f"'{flag.key}' needs itself; remove it")
            continue
        if parent not in known.flags:
            yield _unknown(path, parent, "flag", known.flags)
            continue
        if not variants:
            yield Violation(path, f"no variant is named; list those of '{parent}' of which a unit must have one")
        has = [OFF, *(variant.key for variant in known.flags[parent].variants)]
        for index, variant in enumerate(variants):
            if variant not in has:
                yield Violation(
                    (*path, index), f"'{variant}' is no variant of '{parent}'; {did_you_mean(variant, has)}"
                )
        if cycle := _cycle(flag, parent, known.flags):
            yield Violation(path, f"the prerequisites form a cycle: {' -> '.join(cycle)}; take one of them out")


def _cycle(flag: Flag, parent: str, flags: Mapping[str, Flag]) -> list[str]:
    """The way from the flag by its parent back to itself; empty: there is none."""
    ways = [[flag.key, parent]]
    seen = {parent}
    for way in ways:
        for key in flags[way[-1]].prerequisites if way[-1] in flags else ():
            if key == flag.key:
                return [*way, key]
            if key not in seen:
                seen.add(key)
                ways.append([*way, key])
    return []


def _membership_violations(flag: Flag, known: Known) -> Iterator[Violation]:
    if flag.key in known.groups:
        yield Violation(("key",), f"'{flag.key}' is the key of a group; flags and groups share one space of names")
    for index, membership in enumerate(flag.groups):
        path: Path = ("groups", index)
        if membership.group in [each.group for each in flag.groups[:index]]:
            yield Violation((*path, "group"), f"'{membership.group}' is named twice; name all its slots in one place")
        elif membership.group not in known.groups:
            yield _unknown((*path, "group"), membership.group, "group", known.groups)
        else:
            yield from _slot_violations(membership, known.groups[membership.group], path)


def _holdout_violations(flag: Flag, key: str, known: Known) -> Iterator[Violation]:
    """What is wrong with an experiment that measures a holdout: the group alone says who is in which arm."""
    group = known.groups.get(key)
    if group is None:
        yield _unknown(("holdout",), key, "group", known.groups)
        return
    if group.type != "holdout":
        yield Violation(("holdout",), f"'{key}' is a mutual exclusion; name a holdout")
        return
    held_out = hundredths(group.slots[0].percentage)
    weights = {HELD_OUT: held_out, MET: 10_000 - held_out}
    given = {variant.key: variant.weight for variant in flag.variants}
    is_in_proportion = given.keys() == weights.keys() and given[HELD_OUT] * weights[MET] == given[MET] * held_out
    if [*given] != [*weights] or not is_in_proportion:
        written = ", ".join(f"{{ key: {name}, weight: {weight} }}" for name, weight in weights.items())
        yield Violation(("variants",), f"are not the arms of '{key}'; write variants: [{written}]")
    if flag.unit != group.unit:
        yield Violation(("unit",), f"'{flag.unit}' is not what '{key}' holds out; write {group.unit}")
    if flag.exposure_event is None:
        yield Violation(
            ("holdout",),
            "whom a holdout holds out meets no flag, so nobody is exposed; say exposure_event: the event with which a "
            "unit of either arm enters",
        )
    if flag.control not in {None, HELD_OUT}:
        yield Violation(("control",), f"'{flag.control}' is no control; all others are compared with those held out")
    unsaid = Flag(key=flag.key, owner=flag.owner, variants=())
    for name in _SPLITS:
        if getattr(flag, name) != getattr(unsaid, name):
            yield Violation((name,), f"would be ignored: '{key}' says who is in which arm; remove it")
    for index, variant in enumerate(flag.variants):
        for name in ("users", "devices", "cohorts"):
            if getattr(variant, name):
                yield Violation(("variants", index, name), f"would be ignored: list them in '{key}'")


def _slot_violations(membership: Membership, group: Group, path: Path) -> Iterator[Violation]:
    if group.type == "holdout":
        if membership.slots:
            yield Violation((*path, "slots"), f"'{group.key}' is a holdout, which has no slots to choose; remove them")
        return
    if not membership.slots:
        yield Violation(path, f"no slot is named; '{group.key}' has {len(group.slots)}: write slots: [1]")
    for index, slot in enumerate(membership.slots):
        if slot > len(group.slots):
            yield Violation(
                (*path, "slots", index), f"{slot} is no slot of '{group.key}', which has {len(group.slots)}"
            )


def _cohort_violations(path: Path, keys: Collection[str], prop: str, known: Known) -> Iterator[Violation]:
    units = (prop.removesuffix(".cohort"),) if prop.startswith("groups.") else ("user_id", "device_id")
    for index, key in enumerate(keys):
        if key not in known.cohorts:
            yield _unknown((*path, index), key, "cohort", known.cohorts)
        elif (unit := known.cohorts[key].unit) not in units:
            yield Violation((*path, index), f"'{key}' lists ids of {unit}; here are cohorts of {' or '.join(units)}")


def _unknown(path: Path, key: str, kind: str, known: Collection[str]) -> Violation:
    return Violation(path, f"'{key}' is no {kind}; {did_you_mean(key, known)}")


def _percentages(group: Group) -> str:
    return ", ".join(f"{slot.percentage} %" for slot in group.slots)
