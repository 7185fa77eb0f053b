"""Acts: what a plan does by itself, one at a time, and which of them a version of its flag's document made."""

from typing import Literal

import msgspec

from evaluation.catalog.in_force import winner_of
from schemas.catalog import Document, FlagState
from schemas.plan import Evidence, Progress


class StartFlag(msgspec.Struct, frozen=True, tag="start"):
    """Begin a run, in which the first step is in force."""


class TakeStep(msgspec.Struct, frozen=True, tag="step"):
    """Put the step of that number in force, counted from 1."""

    step: int


class PausePlan(msgspec.Struct, frozen=True, tag="pause"):
    """Take no further step because of these alarms: `split`, or `METRIC/VARIANT`."""

    why: Literal["harm", "broken split"]
    alarms: tuple[str, ...]


class RollBack(msgspec.Struct, frozen=True, tag="roll back"):
    """Give `off` to everybody."""


class RollOut(msgspec.Struct, frozen=True, tag="roll out"):
    """Give one variant to everybody."""

    variant: str


class CompleteRun(msgspec.Struct, frozen=True, tag="complete"):
    """End the run."""


Act = StartFlag | TakeStep | PausePlan | RollBack | RollOut | CompleteRun


def act_of(before: FlagState | None, after: FlagState) -> Act | None:
    """What a version of a flag's document did that a plan could have done, if anything."""
    was_running = before is not None and before.status == "running"
    if after.status == "running":
        return _act_within(before.progress, after.progress) if before and was_running else StartFlag()
    if not was_running:
        return None
    if after.rolled_out is not None:
        return RollOut(winner_of(after.rolled_out))
    return RollBack() if after.status == "rolled back" else CompleteRun()


class _Planned(msgspec.Struct):
    """Of a flag's state how far its plan has come: all else is passed over."""

    progress: Progress | None = None


def evidence_of(document: Document) -> Evidence | None:
    """What a version of a flag's document rests on, if its plan made it."""
    progress = msgspec.json.decode(document.spec, type=_Planned).progress
    evidence = progress.evidence if progress else None
    return evidence if evidence and evidence.version == document.version else None


def _act_within(before: Progress | None, after: Progress | None) -> Act | None:
    """What was done while the run went on."""
    if before is None or after is None:
        return None
    paused = after.paused
    if paused and paused != before.paused and paused.why in ("harm", "broken split"):
        return PausePlan(paused.why, paused.alarms)
    return TakeStep(after.step) if after.step != before.step else None


def told_act(act: Act) -> str:
    """The act in words."""
    match act:
        case StartFlag():
            return "start it"
        case TakeStep(step):
            return f"take step {step}"
        case PausePlan(why, alarms):
            return f"pause it ({why}: {', '.join(alarms)})"
        case RollBack():
            return "roll it back"
        case RollOut(variant):
            return f"roll out {variant}"
        case CompleteRun():
            return "complete its run"
