"""Lifecycle: what commands make of a flag's document. A step gives the next state, or is refused with the reason.

```
            start             complete             rollout, rollback
   draft ─────────► running ─────────► complete ─────────► rolled out, rolled back
```

`rollout` and `rollback` may be taken from anywhere, and end the run that is open; `restart` begins another one from
anywhere behind `start`. `archive` puts away what doesn't run, `restore` takes it back, `delete` is for ever.

A run of a flag with a plan begins with the plan's step 1, and the plan ends with the run. What the plan does by itself
rests on `evidence`, which stays in its progress.
"""

from collections.abc import Collection, Iterator

import msgspec

from evaluation.catalog.in_force import control_of, is_listing, unlisted, winner_of
from evaluation.catalog.ramps import as_planned, in_step, only_describes, percentages, step_that_gives
from evaluation.catalog.rules import Path, did_you_mean
from schemas.catalog import Allocation, Flag, FlagState, Inclusion, Run
from schemas.plan import Evidence, OnAlarm, Pause, PauseReason, Plan, Progress


class LifecycleError(ValueError):
    """A step that must not be taken: `str()` gives the reason and the way out, `path` the definition's field."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def apply_definition(standing: FlagState | None, definition: Flag, version: int) -> FlagState:
    """The state after its author's edit, as `version` of the document; equal to `standing` where nothing changed.

    Who gets what may change while a run is open: that adds an allocation. What the run's numbers mean may not.
    It pauses a plan, at the step that is in force, unless it only describes.
    """
    if standing is None:
        return FlagState(definition=definition)
    if standing.removed == "deleted":
        raise LifecycleError(
            ("key",), f"'{definition.key}' was deleted for ever; remove the file, or choose another key"
        )
    if msgspec.json.encode(definition) == msgspec.json.encode(standing.definition):  # 1 and true are equal in Python
        return standing
    _refuse_removed(standing)
    if standing.rolled_out is not None:
        winner = winner_of(standing.rolled_out)
        _refuse_unknown(definition, winner, f"'{winner}' is rolled out; roll it back first, or keep the variant")
        rolled_out = _everybody_gets(winner, definition, version)
        return msgspec.structs.replace(standing, definition=definition, rolled_out=rolled_out)
    if standing.status != "running":
        return msgspec.structs.replace(standing, definition=definition)
    run = standing.runs[-1]
    _refuse_another_meaning(standing.definition, definition, run.key)
    progress = _progress_after(standing, definition, version)
    return _in_force(msgspec.structs.replace(standing, definition=definition, progress=progress), version)


def start(
    state: FlagState,
    version: int,
    salt: str,
    as_experiment: bool = False,
    splits_anew: bool = False,
    *,
    evidence: Evidence | None = None,
) -> FlagState:
    """The state with a new run, as `version` of the document. `salt` must be fresh: it decides who gets what.

    A flag without metrics that has run before goes on with its former salt, so that the same units have it, unless it
    `splits_anew`. `as_experiment`: one without metrics is refused.
    """
    flag = state.definition
    _refuse_removed(state)
    if as_experiment and not flag.metrics:
        raise LifecycleError(
            ("metrics",),
            f"'{flag.key}' has no metrics, so nothing could be concluded; add the metric that decides, or start it as "
            "a plain flag: `peekproof flag start`",
        )
    if state.status == "running":
        raise LifecycleError(
            ("key",), f"'{flag.key}' is running already ({state.runs[-1].key}); restart it for another run"
        )
    if state.rolled_out is not None:
        raise LifecycleError(
            ("key",),
            f"'{flag.key}' gives '{winner_of(state.rolled_out)}' to everybody; restart it to split units again",
        )
    if not flag.variants:
        raise LifecycleError(("variants",), f"'{flag.key}' has no variants; add at least one and apply it")
    return _with_new_run(state, version, salt, splits_anew, evidence)


def restart(state: FlagState, version: int, salt: str, splits_anew: bool = False) -> FlagState:
    """The state with another run, whose salt is as in `start`; the one that is open ends."""
    _refuse_removed(state)
    if state.status == "draft":
        raise LifecycleError(("key",), f"'{state.definition.key}' has never run; start it")
    return _with_new_run(_ended(state, version), version, salt, splits_anew)


def complete(state: FlagState, version: int, evidence: Evidence | None = None) -> FlagState:
    """The state with its run ended, as `version` of the document: no more entries."""
    if state.status != "running":
        way_out = "start it first" if state.status == "draft" else "nothing is left to do"
        raise LifecycleError(("key",), f"'{state.definition.key}' is not running ({state.status}); {way_out}")
    return msgspec.structs.replace(_ended(state, version, evidence), status="complete")


def roll_out(state: FlagState, version: int, variant: str, evidence: Evidence | None = None) -> FlagState:
    """The state in which everybody gets one variant; a run that is open ends.

    Inclusions, prerequisites and holdouts stay. Mutual exclusion ends: it is for runs that must not meet.
    """
    _refuse_removed(state)
    flag = state.definition
    keys = [each.key for each in flag.variants]
    _refuse_unknown(flag, variant, f"'{variant}' is no variant of '{flag.key}'; {did_you_mean(variant, keys)}")
    if state.rolled_out is not None and winner_of(state.rolled_out) == variant:
        raise LifecycleError(("key",), f"'{flag.key}' gives '{variant}' to everybody already; nothing is left to do")
    rolled_out = _everybody_gets(variant, flag, version)
    return msgspec.structs.replace(_ended(state, version, evidence), status="rolled out", rolled_out=rolled_out)


def roll_back(state: FlagState, version: int, evidence: Evidence | None = None) -> FlagState:
    """The state in which everybody gets `off`; a run that is open ends."""
    _refuse_removed(state)
    if state.status in ("draft", "rolled back"):
        who = unlisted(state.definition.variants if state.status == "draft" else ())
        left = "nothing is left to do" if who == "everybody" else "to take it from those too, empty the lists"
        raise LifecycleError(("key",), f"'{state.definition.key}' is {state.status}: {who} gets 'off' already; {left}")
    return msgspec.structs.replace(_ended(state, version, evidence), status="rolled back")


def take_step(state: FlagState, version: int, number: int, evidence: Evidence | None = None) -> FlagState:
    """The state with the next step of its plan in force, which is this one."""
    plan, progress = _planned(state)
    key = state.definition.key
    if progress.paused:
        raise LifecycleError(("plan",), f"the plan of '{key}' is paused ({progress.paused.why}); resume it first")
    if number != progress.step + 1 or number > len(plan.steps):
        raise LifecycleError(
            ("plan", "steps"),
            f"step {number} does not follow in the plan of '{key}', of which step {progress.step} of "
            f"{len(plan.steps)} is in force; steps are taken one by one",
        )
    return _with_progress(state, version, evidence, step=number, taken=version)


def pause(
    state: FlagState,
    version: int,
    why: PauseReason = "asked",
    alarms: tuple[str, ...] = (),
    evidence: Evidence | None = None,
) -> FlagState:
    """The state in which its plan takes no further step and, where the flag is sticky, nobody else gets a variant.

    A plan that an edit paused, which stops nobody, may be paused so too.
    """
    _, progress = _planned(state)
    if progress.paused and progress.paused.why != "edited":
        raise LifecycleError(
            ("plan",),
            f"the plan of '{state.definition.key}' is paused already ({progress.paused.why}); nothing is left to do",
        )
    return _with_progress(state, version, evidence, paused=Pause(version=version, why=why, alarms=alarms))


def resume(state: FlagState, version: int, seen: tuple[str, ...] = ()) -> FlagState:
    """The state in which its plan goes on, at the step where it was. Alarms that paused it no longer count.

    Nor do those that were `seen`, which hold the next step although the plan only tells of them; while it only does.
    """
    _, progress = _planned(state)
    if progress.paused is None and not seen:
        raise LifecycleError(
            ("plan",),
            f"the plan of '{state.definition.key}' is not paused, and no alarm holds it; it is at step {progress.step}",
        )
    paused_by = progress.paused.alarms if progress.paused else ()
    overruled = tuple(dict.fromkeys([*progress.overruled, *paused_by, *seen]))
    return _with_progress(state, version, None, paused=None, overruled=overruled)


def archive(state: FlagState, needed_by: Collection[str]) -> FlagState:
    """The state put away: everybody gets `off` until `restore`. `needed_by`: the flags whose prerequisites name it."""
    _refuse_removed(state)
    if state.status == "running":
        raise LifecycleError(
            ("key",),
            f"'{state.definition.key}' is running ({state.runs[-1].key}); complete it, roll it out or back first",
        )
    _refuse_needed(state, needed_by)
    return msgspec.structs.replace(state, removed="archived")


def restore(state: FlagState) -> FlagState:
    """The archived state as it was."""
    if state.removed != "archived":
        was = "was deleted for ever" if state.removed else "is not archived"
        raise LifecycleError(("key",), f"'{state.definition.key}' {was}; there is nothing to restore")
    return msgspec.structs.replace(state, removed=None)


def delete(state: FlagState, needed_by: Collection[str]) -> FlagState:
    """The state removed for ever, of what never ran or is archived; its versions and results stay in the log."""
    if state.removed == "deleted":
        raise LifecycleError(("key",), f"'{state.definition.key}' was deleted already; nothing is left to do")
    if state.removed != "archived" and (state.runs or state.status != "draft"):
        raise LifecycleError(("key",), f"'{state.definition.key}' has been in use ({state.status}); archive it first")
    _refuse_needed(state, needed_by)
    return msgspec.structs.replace(state, removed="deleted")


def steps_between(standing: FlagState | None, after: FlagState) -> Iterator[str]:
    """What commands did between two versions, in words."""
    before = standing or FlagState(definition=after.definition)
    had = {run.key: run for run in before.runs}
    for run in after.runs:
        if run.completed is not None and (run.key not in had or had[run.key].completed is None):
            yield f"{run.key} is complete"
        if run.completed is None and run.key not in had:
            yield f"{run.key} is running"
    if after.rolled_out is not None and before.status != after.status:
        yield f"{winner_of(after.rolled_out)} is rolled out"
    if after.status == "rolled back" != before.status:
        yield "rolled back"
    if after.status == "running":
        yield from _plan_steps_between(before.progress, after)
    if after.removed != before.removed:
        yield after.removed or "restored"


def _plan_steps_between(before: Progress | None, after: FlagState) -> Iterator[str]:
    progress, plan = after.progress, after.definition.plan
    if progress is None or plan is None:
        return
    if before is None or before.taken != progress.taken:
        yield f"step {progress.step} of {len(plan.steps)} is in force"
    was_paused = before.paused if before else None
    if progress.paused and progress.paused != was_paused:
        yield f"the plan is paused ({progress.paused.why})"
    if was_paused and progress.paused is None:
        yield "the plan goes on"


def _with_new_run(
    state: FlagState, version: int, salt: str, splits_anew: bool, evidence: Evidence | None = None
) -> FlagState:
    flag = state.definition
    if state.runs and not flag.metrics and not splits_anew:
        salt = state.runs[-1].salt
    run = Run(key=f"exp-{len(state.runs) + 1}", salt=salt, started=version, allocations=(allocation_of(flag, version),))
    progress = Progress(step=1, taken=version, evidence=evidence) if flag.plan else None
    return msgspec.structs.replace(state, status="running", runs=(*state.runs, run), progress=progress)


def _ended(state: FlagState, version: int, evidence: Evidence | None = None) -> FlagState:
    """Without anything in force; its next status is the caller's to say."""
    runs, progress = state.runs, state.progress
    if state.status == "running":
        runs = (*runs[:-1], msgspec.structs.replace(runs[-1], completed=version))
    if progress and evidence:
        progress = msgspec.structs.replace(progress, evidence=evidence)
    return msgspec.structs.replace(state, runs=runs, rolled_out=None, progress=progress)


def _planned(state: FlagState) -> tuple[Plan, Progress]:
    """The plan that is in force, and how far it has come."""
    flag = state.definition
    _refuse_removed(state)
    if flag.plan is None:
        raise LifecycleError(("plan",), f"'{flag.key}' has no plan; write one into its definition and apply it")
    if state.status != "running" or state.progress is None:
        raise LifecycleError(("plan",), f"'{flag.key}' is not running ({state.status}), and its plan not in force")
    return flag.plan, state.progress


def _with_progress(state: FlagState, version: int, evidence: Evidence | None, **changes: object) -> FlagState:
    if evidence:
        changes["evidence"] = evidence
    assert state.progress is not None
    progress = msgspec.structs.replace(state.progress, **changes)
    return _in_force(msgspec.structs.replace(state, progress=progress), version)


def _in_force(state: FlagState, version: int) -> FlagState:
    """The running state, whose run gives what definition and progress say."""
    run = state.runs[-1]
    allocation = allocation_of(state.definition, version, state.progress)
    if _grants(allocation) != _grants(run.allocations[-1]):
        run = msgspec.structs.replace(run, allocations=(*run.allocations, allocation))
    return msgspec.structs.replace(state, runs=(*state.runs[:-1], run))


def _progress_after(standing: FlagState, definition: Flag, version: int) -> Progress | None:
    """How far the plan has come after an edit, which takes no step: the former one's percentages stay in force."""
    before, progress = standing.definition, standing.progress
    if definition.plan is None:
        return None
    if progress is None:
        progress = Progress(step=0, taken=version)
        stands = percentages(standing.runs[-1].allocations[-1])
    else:
        if only_describes(before, definition):
            return progress
        if before.sticky != definition.sticky and progress.paused and progress.paused.why != "edited":
            raise LifecycleError(
                ("sticky",),
                f"sticky of '{definition.key}' would change while its plan is paused ({progress.paused.why}), and with "
                "it who keeps a variant; resume the plan first",
            )
        stands = percentages(in_step(before, progress.step))
    if msgspec.json.encode(before.plan) != msgspec.json.encode(definition.plan):
        number = step_that_gives(definition, stands, first=progress.step)
        if number is None:
            raise LifecycleError(("plan", "steps"), _no_such_step(definition, standing.runs[-1], stands))
        progress = msgspec.structs.replace(progress, step=number)
        if before.plan and _on_alarms(before.plan) != _on_alarms(definition.plan):
            progress = msgspec.structs.replace(progress, overruled=())
    return msgspec.structs.replace(progress, paused=progress.paused or Pause(version=version, why="edited"))


def _on_alarms(plan: Plan) -> tuple[OnAlarm, OnAlarm]:
    return plan.on_harm, plan.on_broken_split


def _no_such_step(flag: Flag, run: Run, stands: tuple[float, ...]) -> str:
    rollout, *of_segments = stands
    named = zip(run.allocations[-1].segments, of_segments, strict=True)
    all_of = "".join(f", {percentage} % of segment '{segment.name}'" for segment, percentage in named)
    return (
        f"no step of the plan of '{flag.key}' gives what is in force in {run.key}, {rollout} %{all_of}, and an edit "
        "takes no step; let a step give just that, and change its segments by an edit of their own"
    )


def _everybody_gets(variant: str, flag: Flag, version: int) -> Allocation:
    allocation = allocation_of(flag, version)
    return msgspec.structs.replace(
        allocation,
        rollout=100,
        weights={key: 100 if key == variant else 0 for key in allocation.weights},
        segments=(),
        groups=tuple(each for each in allocation.groups if not each.slots),
        sticky=False,
    )


def _refuse_removed(state: FlagState) -> None:
    if state.removed:
        way_out = "restore it first" if state.removed == "archived" else "choose another key"
        raise LifecycleError(("key",), f"'{state.definition.key}' is {state.removed}; {way_out}")


def _refuse_unknown(flag: Flag, variant: str, reason: str) -> None:
    if variant not in [each.key for each in flag.variants]:
        raise LifecycleError(("variants",), reason)


def _refuse_needed(state: FlagState, needed_by: Collection[str]) -> None:
    if needed_by:
        raise LifecycleError(
            ("key",),
            f"'{state.definition.key}' is needed by {', '.join(sorted(needed_by))}, whose units would all get 'off'; "
            "take it out of their prerequisites first",
        )


def _refuse_another_meaning(before: Flag, after: Flag, run: str) -> None:
    def refuse(field: str, old: object, new: object, why: str) -> None:
        raise LifecycleError(
            (field,),
            f"{field} of '{after.key}' would change from {old} to {new} while {run} runs, and {why}; "
            f"take the change back, or complete the run, apply and start again",
        )

    keys_before = sorted(variant.key for variant in before.variants)
    keys_after = sorted(variant.key for variant in after.variants)
    if before.exposure_event != after.exposure_event:
        steps = (before.exposure_event, after.exposure_event)
        old, new = ("exposures" if step is None else msgspec.json.encode(step).decode() for step in steps)
        refuse("exposure_event", old, new, "its units entered by the former")
    if before.unit != after.unit:
        refuse("unit", before.unit, after.unit, "its units would no longer be those that entered")
    if before.identity != after.identity:
        refuse("identity", before.identity or "none", after.identity or "none", "its units would have other events")
    if before.holdout != after.holdout:
        refuse("holdout", before.holdout or "none", after.holdout or "none", "its arms would be others")
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


def allocation_of(flag: Flag, version: int, progress: Progress | None = None) -> Allocation:
    """Who gets what by the definition, and by how far its plan has come, as `version` of the document."""
    flag = as_planned(flag, progress)
    return Allocation(
        flag_version=version,
        rollout=flag.rollout,
        weights={variant.key: variant.weight for variant in flag.variants},
        inclusions={
            variant.key: Inclusion(users=variant.users, devices=variant.devices, cohorts=variant.cohorts)
            for variant in flag.variants
            if is_listing(variant)
        },
        segments=flag.segments,
        prerequisites=flag.prerequisites,
        groups=flag.groups,
        sticky=flag.sticky,
    )


def _grants(allocation: Allocation) -> bytes:
    """What the allocation gives to whom, the order of the variants included (bucketing depends on it)."""
    return msgspec.json.encode(msgspec.structs.replace(allocation, flag_version=0))
