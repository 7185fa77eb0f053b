"""Resuming: what a person should know who lets a plan go on: which alarms are passed over, and what follows at once."""

from dataclasses import replace
from typing import NamedTuple

import msgspec

from evaluation.catalog.consequences import Consequence
from evaluation.catalog.in_force import FlagInForce
from evaluation.plans.acts import TakeStep, told_act
from evaluation.plans.alarms import holding
from evaluation.plans.question import OFFSETS, ask
from schemas.look import Look


class Resuming(NamedTuple):
    """The alarms that are `seen`, and what `follows`: all but a step wants a yes."""

    seen: tuple[str, ...] = ()
    follows: tuple[Consequence, ...] = ()


def resuming(flag: FlagInForce, look: Look | None, time: int) -> Resuming:
    """Of the plan of a flag, by the newest look at its open run and the time (ms UTC)."""
    if flag.definition.plan is None or flag.plan is None or flag.status != "running":
        return Resuming()
    seen, progress = holding(flag, look) if look else (), flag.plan.progress
    overruled = (*progress.overruled, *(progress.paused.alarms if progress.paused else ()), *seen)
    resumed = msgspec.structs.replace(progress, paused=None, overruled=overruled)
    said = ask(replace(flag, plan=replace(flag.plan, progress=resumed)), look, time)
    if said.act is None:
        return Resuming(seen)
    text = f"the plan then does at once what it says, {told_act(said.act)}: {said.reason.partition(OFFSETS)[0]}"
    return Resuming(seen, (Consequence(text, is_risky=not isinstance(said.act, TakeStep)),))
