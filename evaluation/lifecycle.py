"""Lifecycle: what commands make of a flag's document. Each function returns the next state or refuses the step."""

import msgspec

from evaluation.catalog import control_of
from evaluation.rules import Path
from schemas.catalog import Allocation, Flag, FlagState, Inclusion, Run


class LifecycleError(ValueError):
    """A step that must not be taken: `str()` gives the reason and the way out, `path` the definition's field."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def apply_definition(standing: FlagState | None, definition: Flag, version: int) -> FlagState:
    """The state after its author's edit, as `version` of the document; equal to `standing` where nothing changed.

    Who gets what may change while a run is open: that adds an allocation. What the run's numbers mean may not.
    """
    if standing is None:
        return FlagState(definition=definition)
    if msgspec.json.encode(definition) == msgspec.json.encode(standing.definition):  # 1 and true are equal in Python
        return standing
    if standing.status != "running":
        return msgspec.structs.replace(standing, definition=definition)
    run = standing.runs[-1]
    _refuse_another_meaning(standing.definition, definition, run.key)
    allocation = allocation_of(definition, version)
    if _grants(allocation) != _grants(run.allocations[-1]):
        run = msgspec.structs.replace(run, allocations=(*run.allocations, allocation))
    return msgspec.structs.replace(standing, definition=definition, runs=(*standing.runs[:-1], run))


def start(state: FlagState, version: int, salt: str) -> FlagState:
    """The state with a new run, as `version` of the document. `salt` must be fresh: it decides who gets what."""
    flag = state.definition
    if state.status == "running":
        raise LifecycleError(
            ("key",), f"'{flag.key}' is running already ({state.runs[-1].key}); complete it to start again"
        )
    if not flag.variants:
        raise LifecycleError(("variants",), f"'{flag.key}' has no variants; add at least one and apply it")
    run = Run(key=f"exp-{len(state.runs) + 1}", salt=salt, started=version, allocations=(allocation_of(flag, version),))
    return msgspec.structs.replace(state, status="running", runs=(*state.runs, run))


def complete(state: FlagState, version: int) -> FlagState:
    """The state with its run ended, as `version` of the document: no more entries."""
    if state.status != "running":
        way_out = "start it first" if state.status == "draft" else "nothing is left to do"
        raise LifecycleError(("key",), f"'{state.definition.key}' is not running ({state.status}); {way_out}")
    run = msgspec.structs.replace(state.runs[-1], completed=version)
    return msgspec.structs.replace(state, status="complete", runs=(*state.runs[:-1], run))


def _refuse_another_meaning(before: Flag, after: Flag, run: str) -> None:
    def refuse(field: str, old: object, new: object, why: str) -> None:
        raise LifecycleError(
            (field,),
            f"{field} of '{after.key}' would change from {old} to {new} while {run} runs, and {why}; "
            f"take the change back, or complete the run, apply and start again",
        )

    keys_before = sorted(variant.key for variant in before.variants)
    keys_after = sorted(variant.key for variant in after.variants)
    if before.breakdowns != after.breakdowns:
        old, new = (", ".join(each.property for each in flag.breakdowns) or "none" for flag in (before, after))
        refuse("breakdowns", old, new, "what its units were is known from their exposures only")
    if before.unit != after.unit:
        refuse("unit", before.unit, after.unit, "its units would no longer be those that entered")
    if keys_before != keys_after:
        refuse("variants", ", ".join(keys_before), ", ".join(keys_after), "units that met one would lose it")
    if control_of(before) != control_of(after):
        refuse("control", control_of(before), control_of(after), "its looks so far compare with the former")
    if _plan(before) != _plan(after):
        refuse("analysis", _plan(before), _plan(after), "a sample planned after a look promises nothing")


def _plan(flag: Flag) -> str:
    """What the planned sample is, or follows from."""
    baseline = flag.analysis.baseline
    if flag.analysis.planned_units is not None:
        return f"{flag.analysis.planned_units} planned units"
    if baseline is None:
        return "no plan"
    (primary,) = (goal for goal in flag.metrics if goal.role == "primary")
    deviation = "" if baseline.deviation is None else f", deviation {baseline.deviation:g}"
    return f"minimum effect {primary.minimum_effect:g} of {primary.metric} over mean {baseline.mean:g}{deviation}"


def allocation_of(flag: Flag, version: int) -> Allocation:
    """Who gets what by the definition, as `version` of the document."""
    return Allocation(
        flag_version=version,
        rollout=flag.rollout,
        weights={variant.key: variant.weight for variant in flag.variants},
        inclusions={
            variant.key: Inclusion(users=variant.users, devices=variant.devices, cohorts=variant.cohorts)
            for variant in flag.variants
            if variant.users or variant.devices or variant.cohorts
        },
        segments=flag.segments,
        prerequisites=flag.prerequisites,
        groups=flag.groups,
        sticky=flag.sticky,
    )


def _grants(allocation: Allocation) -> bytes:
    """What the allocation gives to whom, the order of the variants included (bucketing depends on it)."""
    return msgspec.json.encode(msgspec.structs.replace(allocation, flag_version=0))
