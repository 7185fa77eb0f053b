"""Configurations: the documents in force as flags that engines evaluate, ours and Amplitude's.

A flag's segments, in Amplitude's order: inclusions, dependencies (holdouts, mutual exclusions, prerequisites), sticky
bucketing, the audience's segments, all other users. A flag of which nobody gets a variant has one segment, `default`;
a draft has its inclusions before it, so that those whom it lists can try it.
A group is a flag of its own, whose variants are its slots; its salt is its key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from evaluation.catalog.answerable import fault_of
from evaluation.catalog.in_force import Catalog, FlagInForce, InForce, RunInForce
from evaluation.catalog.references import HELD_OUT, MET, OFF
from evaluation.flags.cohorts import Cohorts
from evaluation.flags.conditions import GLOBS, REGEXES, glob_pattern
from evaluation.flags.engine import Flags, Problem
from evaluation.flags.paths import cohort_selector, property_selector, unit_selector
from evaluation.flags.patterns import whole_text
from evaluation.flags.values import Selector
from schemas.catalog import Allocation, Condition, Exempt, Flag, Group, GroupSlot, Inclusion, Variant
from schemas.flag_config import (
    Bucket,
    BucketAllocation,
    ConditionConfig,
    Distribution,
    FlagConfig,
    Metadata,
    SegmentConfig,
    VariantConfig,
)
from schemas.numbers import hundredths

SHARES = 42_949_673  # values of h // 100, h unsigned with 32 bits
OTHERS = "All Other Users"  # what Amplitude calls the last segment
UNALLOCATED = "unallocated"  # the units that no slot of a mutual exclusion takes


def flags_in_force(catalog: Catalog, problems: Iterable[Problem] = ()) -> Flags:
    """The catalog's flags and groups, ready to be evaluated; `problems` are of flags that could not be read."""
    return Flags(flag_configs(catalog), problems, cohorts_of(catalog))


def cohorts_of(catalog: Catalog) -> Cohorts:
    """The catalog's cohorts."""
    return Cohorts(cohort.definition for cohort in catalog.cohorts.values())


def flag_configs(catalog: Catalog) -> list[FlagConfig]:
    """Every group and every flag that is not removed, as they are in force."""
    configs = [group_config(group, catalog) for group in catalog.groups.values()]
    for flag in catalog.flags.values():
        run = flag.runs[-1] if flag.status == "running" else None
        if not flag.removed:
            configs.append(flag_config(flag, run, flag.allocation, catalog))
    return configs


def flag_config(
    flag: FlagInForce, run: RunInForce | None, allocation: Allocation | None, catalog: Catalog
) -> FlagConfig:
    """A flag with one of its allocations, of a run or of its roll-out; with none, all but a draft's listed get `off`.

    So does everybody, and is told why, where no engine can evaluate the allocation. Its version is the flag's; of an
    allocation that is no longer in force, that which began it.
    """
    definition = run.definition if run else flag.definition
    version = flag.version if allocation is None or allocation is flag.allocation else allocation.flag_version
    metadata: Metadata = {
        "deployed": True,
        "evaluationMode": "local",
        "flagType": "experiment" if definition.metrics else "release",
        "flagVersion": version,
    }
    if run is not None:
        metadata["experimentKey"] = run.key
    if definition.deployments:
        metadata["deployments"] = list(definition.deployments)
    segments, parents = [_named("default", OFF)], {}
    if flag.status == "draft" and not flag.removed:
        segments = [*_inclusions({each.key: each for each in definition.variants}, catalog), *segments]
    if allocation is not None and (fault := fault_of(allocation)):
        segments = [_named("default", OFF, problem=fault)]
    elif allocation is not None and definition.holdout:
        if definition.holdout in catalog.groups:
            segments = list(group_config(catalog.groups[definition.holdout], catalog).segments)
    elif allocation is not None:
        parents = _parents(allocation, catalog)
        segments = _segments(definition, allocation, run.salt if run else definition.key, parents, catalog)
    variants = {
        each.key: VariantConfig(key=each.key, value=each.key, payload=each.payload) for each in definition.variants
    }
    return FlagConfig(
        key=definition.key,
        variants=variants | _off(),
        segments=tuple(segments),
        dependencies=tuple(parents) or None,
        metadata=metadata,
    )


def inclusions_config(key: str, allocation: Allocation, catalog: Catalog) -> FlagConfig:
    """A flag that yields a variant for those alone whom the allocation lists."""
    variants = {variant: VariantConfig(key=variant) for variant in allocation.inclusions}
    return FlagConfig(key=key, variants=variants, segments=tuple(_inclusions(allocation.inclusions, catalog)))


def selectors_of(catalog: Catalog) -> set[Selector]:
    """What of a context any flag reads, in any of its allocations, or a group."""
    units = {flag.definition.unit for flag in catalog.flags.values()}
    units |= {group.definition.unit for group in catalog.groups.values()}
    of_cohorts = {cohort.definition.unit for cohort in catalog.cohorts.values()}
    selectors = {*map(unit_selector, units | of_cohorts), *map(cohort_selector, of_cohorts)}
    for flag in catalog.flags.values():
        for allocation in [each for run in flag.runs for each in run.allocations]:
            if allocation.sticky:
                selectors.add(_sticky_selector(flag.definition.key))
            conditions = [condition for segment in allocation.segments for condition in segment.conditions]
            selectors |= {property_selector(condition.property) for condition in conditions}
    return selectors


def group_config(group: InForce[Group], catalog: Catalog) -> FlagConfig:
    """A group as a flag that no deployment serves."""
    definition = group.definition
    if definition.type == "holdout":
        (slot,) = definition.slots
        weights = {HELD_OUT: hundredths(slot.percentage), MET: 10_000 - hundredths(slot.percentage)}
        lists: dict[str, GroupSlot | Exempt] = {HELD_OUT: slot}
        if definition.exempt:
            lists[MET] = definition.exempt
    else:
        slots = {slot_name(i): slot for i, slot in enumerate(definition.slots, 1)}
        weights = {name: hundredths(slot.percentage) for name, slot in slots.items()}
        weights[UNALLOCATED] = 10_000 - sum(weights.values())
        lists = dict(slots)
    return FlagConfig(
        key=definition.key,
        variants={name: VariantConfig(key=name, value=name) for name in weights} | _off(),
        segments=(
            *_inclusions(lists, catalog),
            _named(OTHERS, OFF, bucket=_bucket(definition.unit, definition.key, 100, weights)),
        ),
        metadata={
            "deployed": False,
            "evaluationMode": "local",
            "flagType": "holdout-group" if definition.type == "holdout" else "mutual-exclusion-group",
            "flagVersion": group.version,
        },
    )


def slot_name(number: int) -> str:
    """The variant of a mutual exclusion's slot."""
    return f"slot-{number}"


def operation(condition: Condition) -> tuple[str, tuple[str, ...]]:
    """The operator and values by which every engine evaluates a document's condition alike.

    A glob is a regular expression, and a regular expression is compared with the whole text.
    """
    if condition.op in GLOBS:
        return GLOBS[condition.op], tuple(map(glob_pattern, condition.values))
    if condition.op in REGEXES:
        return condition.op, tuple(map(whole_text, condition.values))
    return condition.op, condition.values


def shares(weights: Mapping[str, int]) -> list[Distribution]:
    """The parts of 0…42949672 that weights give to variants, in their order; an empty one is left out.

    Amplitude gives variant i the range [floor(c·42949672), ceil(c'·42949673)) between the cumulative shares c and c'.
    Its first match wins, so the upper bounds alone decide, and each range may begin where the one before ends. In whole
    numbers they are the same everywhere.
    """
    total = sum(weights.values())
    distributions, start, sum_so_far = [], 0, 0
    for variant, weight in weights.items():
        sum_so_far += weight
        end = -(-sum_so_far * SHARES // total) if total else 0
        if end > start:
            distributions.append(Distribution(variant=variant, range=(start, end)))
        start = end
    return distributions


def _segments(
    definition: Flag, allocation: Allocation, salt: str, parents: Mapping[str, Sequence[str]], catalog: Catalog
) -> list[SegmentConfig]:
    def split(
        name: str, rollout: float, weights: Mapping[str, int], conditions: Iterable[Condition] = ()
    ) -> SegmentConfig:
        every = tuple(_condition(property_selector(each.property), *operation(each)) for each in conditions)
        given = shares(weights)
        bucket = None if rollout == 0 or not given else _bucket(definition.unit, salt, rollout, weights)
        if rollout == 100 and len(given) == 1:
            return _named(name, given[0].variant, every)
        return _named(name, OFF, every, bucket=bucket)

    segments = [*_inclusions(allocation.inclusions, catalog)]
    if parents:
        needs = [_condition(("result", parent, "key"), "is not", variants) for parent, variants in parents.items()]
        segments.append(_named("flag-dependencies", OFF, *((each,) for each in needs)))
    if allocation.sticky:
        selector = _sticky_selector(definition.key)
        segments += [
            _named("sticky-bucketing", variant, (_condition(selector, "is", (variant,)),))
            for variant in allocation.weights
        ]
    for segment in allocation.segments:
        weights = (
            {variant: segment.weights.get(variant, 0) for variant in allocation.weights}
            if segment.weights
            else allocation.weights
        )
        segments.append(split(segment.name, segment.rollout, weights, segment.conditions))
    return [*segments, split(OTHERS, allocation.rollout, allocation.weights)]


def _sticky_selector(flag: str) -> Selector:
    """The user property in which Amplitude keeps the variant that a user has."""
    return ("context", "user", "user_properties", f"[Experiment] {flag}")


def _parents(allocation: Allocation, catalog: Catalog) -> dict[str, Sequence[str]]:
    """The flags and groups on which it depends, and the variants of each of which a unit must have one."""
    parents: dict[str, Sequence[str]] = {}
    for membership in allocation.groups:
        if membership.group in catalog.groups:
            parents[membership.group] = [slot_name(slot) for slot in membership.slots] or [MET]
    return parents | allocation.prerequisites


def _inclusions(
    lists: Mapping[str, Inclusion | Variant | GroupSlot | Exempt], catalog: Catalog
) -> Iterator[SegmentConfig]:
    """A segment for each variant that some units get by name."""
    for variant, listed in lists.items():
        wanted: list[tuple[Selector, str, Sequence[str]]] = [
            (("context", "user", "user_id"), "is", listed.users),
            (("context", "user", "device_id"), "is", listed.devices),
        ]
        by_selector: dict[Selector, list[str]] = {}
        for cohort in listed.cohorts:
            unit = catalog.cohorts[cohort].definition.unit if cohort in catalog.cohorts else "user_id"
            by_selector.setdefault(cohort_selector(unit), []).append(cohort)
        wanted += [(selector, "set contains any", cohorts) for selector, cohorts in by_selector.items()]
        conditions = [(_condition(selector, op, values),) for selector, op, values in wanted if values]
        if conditions:
            yield _named("individual-inclusions", variant, *conditions)


def _bucket(unit: str, salt: str, rollout: float, weights: Mapping[str, int]) -> Bucket:
    """Of whole percents everybody; of the next one a part of every variant's share, so that more moves nobody."""
    whole, part = divmod(hundredths(rollout), 100)
    given = tuple(shares(weights))
    allocations = [BucketAllocation(range=(0, whole), distributions=given)] if whole else []
    if part:
        parts = [(each.variant, each.range[0], -((each.range[0] - each.range[1]) * part // 100)) for each in given]
        of_part = tuple(Distribution(variant=key, range=(start, start + size)) for key, start, size in parts)
        allocations.append(BucketAllocation(range=(whole, whole + 1), distributions=of_part))
    return Bucket(selector=unit_selector(unit), salt=salt, allocations=tuple(allocations))


def _named(
    name: str, variant: str, *conditions: Sequence[ConditionConfig], bucket: Bucket | None = None, **metadata: str
) -> SegmentConfig:
    every = tuple(tuple(each) for each in conditions if each) or None
    return SegmentConfig(bucket=bucket, conditions=every, variant=variant, metadata={"segmentName": name} | metadata)


def _condition(selector: Selector, op: str, values: Sequence[str]) -> ConditionConfig:
    return ConditionConfig(selector=selector, op=op, values=tuple(values))


def _off() -> dict[str, VariantConfig]:
    return {OFF: VariantConfig(key=OFF, metadata={"default": True})}
