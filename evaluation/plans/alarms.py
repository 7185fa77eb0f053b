"""Alarms: what a look shows that a plan protects from. A guardrail is harmed, the primary metric is worse, the split is
broken.

A plan acts by readings alone whose guarantee holds however often one looks, or that are read once: a Bayesian one, and
one with a caveat, are told.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from evaluation.catalog.in_force import FlagInForce
from evaluation.significance.judgements import is_deciding
from evaluation.significance.verdict import harm_in, says_effect, says_split
from schemas.look import Cell, Look
from schemas.plan import ONLY_TOLD, OnAlarm

SPLIT = "split"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: its name, `split` or `METRIC/VARIANT`; what the look shows; and what the plan does about it."""

    name: str
    text: str
    why: Literal["harm", "broken split"]
    act: OnAlarm
    is_overruled: bool = False


def alarms_of(flag: FlagInForce, look: Look) -> list[Alarm]:
    """What of a look at the open run alarms, the split first."""
    plan = flag.definition.plan
    assert plan is not None
    overruled = flag.plan.progress.overruled if flag.plan else ()
    found = []
    if split := says_split(look.health):
        found.append(Alarm(name=SPLIT, text=split, why="broken split", act=plan.on_broken_split))
    harm: dict[str, Alarm] = {}
    for cell in _harm(flag, look):
        name = f"{cell.metric}/{cell.variant}"
        alarm = Alarm(name=name, text=says_effect(cell), why="harm", act=plan.on_harm if is_sure(cell) else "tell")
        if name not in harm or harm[name].act == "tell":
            harm[name] = alarm
    every = [*found, *harm.values()]
    return [msgspec.structs.replace(each, is_overruled=not _names(each).isdisjoint(overruled)) for each in every]


def holding(flag: FlagInForce, look: Look) -> tuple[str, ...]:
    """The alarms that hold the next step, although the plan only tells of them; until somebody resumes it.

    By the names under which they are overruled then: the same alarm, once the plan acts by it, is not.
    """
    if flag.definition.plan is None or flag.plan is None:
        return ()
    told = [each for each in alarms_of(flag, look) if each.act == "tell" and not each.is_overruled]
    return tuple(f"{each.name}{ONLY_TOLD}" for each in told)


def is_sure(cell: Cell) -> bool:
    """Whether its judgement may be acted on, however often one looks."""
    return cell.caveat is None and cell.method != "bayesian"


def deciding(flag: FlagInForce, look: Look) -> list[Cell]:
    """The cells on which verdicts rest."""
    metrics = flag.runs[-1].metrics
    return [cell for cell in _current(flag, look) if is_deciding(cell, metrics)]


def redefined(flag: FlagInForce, look: Look) -> list[str]:
    """The metrics that measure something else since the look."""
    metrics = flag.runs[-1].metrics
    known = {cell.metric: cell.metric_version for cell in look.cells if cell.metric in metrics}
    return [metric for metric, version in known.items() if version != metrics[metric].version]


def _current(flag: FlagInForce, look: Look) -> list[Cell]:
    """The cells of metrics that measure what they do now."""
    others = {*redefined(flag, look)}
    return [cell for cell in look.cells if cell.metric in flag.runs[-1].metrics and cell.metric not in others]


def _harm(flag: FlagInForce, look: Look) -> list[Cell]:
    roles = {goal.metric: goal.role for goal in flag.definition.metrics}
    cells = deciding(flag, look)
    guardrails = _of_role(cells, roles, "guardrail")
    primary = _of_role(cells, roles, "primary")
    return [
        *_of_role(harm_in(_current(flag, look), guardrails), roles, "guardrail"),
        *(cell for cell in primary if cell.judgement == "worse"),
    ]


def _names(alarm: Alarm) -> set[str]:
    """The names of which any overrules it."""
    return {alarm.name, f"{alarm.name}{ONLY_TOLD}"} if alarm.act == "tell" else {alarm.name}


def _of_role(cells: Sequence[Cell], roles: Mapping[str, str], role: str) -> list[Cell]:
    return [cell for cell in cells if roles.get(cell.metric) == role]
