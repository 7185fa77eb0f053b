"""A plan, asked minute by minute, against a plain model of it: whatever comes when, in whatever order.

The model knows nothing of the question's code: it counts minutes, reads a wall clock and remembers what it has seen.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from evaluation.catalog import lifecycle
from evaluation.catalog.ramps import percentages
from evaluation.plans.acts import Act, act_of
from evaluation.plans.alarms import holding
from evaluation.plans.question import ask
from schemas.catalog import Variant
from schemas.look import Look
from tests.evaluation.plans.conftest import TREATMENTS, Stage, at, make_cell, make_look

MINUTE = 60_000
BEGINS = ("2026-03-28T20:00", "2026-10-24T20:00", "2026-06-01T05:00")  # UTC; before two changes of Berlin's clock
ON_ALARM = st.sampled_from(["roll back", "pause", "tell"])
DONE = {
    "start": (lifecycle.start, lambda _: ("s",)),
    "step": (lifecycle.take_step, lambda act: (act.step,)),
    "pause": (lifecycle.pause, lambda act: (act.why, act.alarms)),
    "roll back": (lifecycle.roll_back, lambda _: ()),
    "roll out": (lifecycle.roll_out, lambda act: (act.variant,)),
    "complete": (lifecycle.complete, lambda _: ()),
}
SHIPS = ({}, {"red": 0.1}, {"blue": 0.1, "red": 0.2}, {"blue": 0.3, "red": 0.2})  # lifts of treatments that have won


@st.composite
def plans(draw: st.DrawFn, begin: str) -> dict:
    """Plans around a time, most of them short, in the calendar of Berlin."""
    zone = ZoneInfo("Europe/Berlin")

    def date(most: int) -> st.SearchStrategy[str]:  # in quarters of an hour from an hour before the beginning on
        moments = (at(begin) / 1_000 + 900 * quarter for quarter in range(-4, most))
        # Times that a clock never shows, or shows twice, are for test_hours.py.
        walls = [datetime.fromtimestamp(each, zone).strftime("%Y-%m-%dT%H:%M") for each in moments]
        return st.sampled_from([each for each in walls if each[11:13] != "02"])

    def one_in(number: int) -> bool:
        return draw(st.sampled_from([*range(number)])) == 0

    rollouts = sorted(draw(st.lists(st.sampled_from([0, 1, 5, 10, 50, 100]), min_size=2, max_size=4)))
    dates = sorted(draw(st.sets(date(60), min_size=6, max_size=6)))
    steps: list[dict] = []
    for number, rollout in enumerate(rollouts):
        step: dict = {"rollout": rollout}
        if not one_in(4):
            step["for"] = draw(st.sampled_from(["1m", "1m", "10m", "1h", "5h"]))
        if one_in(4):
            step["until"] = draw(st.sampled_from([{"units": 1}, {"units": 100}, {"safe": ["fails"]}]))
        if number and (not {"for", "until"} & steps[-1].keys() or one_in(4)):
            step["at"] = dates[number]
        steps.append(step)
    plan = {"steps": steps, "timezone": "Europe/Berlin", "on_harm": draw(ON_ALARM), "on_broken_split": draw(ON_ALARM)}
    if one_in(2):
        plan["start"] = dates[0]
    if one_in(4):
        plan["end"] = dates[-1]
    if one_in(5):
        days = draw(st.sets(st.sampled_from(["sat", "sun", "mon"])))
        between = draw(st.sampled_from(["09:00-17:00", "22:00-06:00", "00:00-24:00", "02:30-03:30"]))
        plan["hours"] = {"days": sorted(days), "between": between}
    if "end" in plan or {"for", "until"} & steps[-1].keys():
        on_win = draw(st.sampled_from(["roll out", "complete", "tell"]))
        plan["then"] = {"on_win": on_win, "on_nothing": draw(st.sampled_from(["roll back", "complete", "tell"]))}
    return plan


@cache
def shown(minute: int) -> tuple[str, str]:
    """What a clock in Berlin shows, and the day."""
    wall = datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    return wall.strftime("%Y-%m-%dT%H:%M"), wall.strftime("%a").lower()


@dataclass
class Facts:
    """What the newest look shows."""

    units: int = 0
    safe: bool = False
    harm: dict[str, bool] = field(default_factory=dict)  # by alarm: whether it may be acted on
    split: bool = False
    doubt: bool = False
    ships: dict[str, float] = field(default_factory=dict)  # lifts by treatment


class Model:
    """A plan as one would follow it by hand."""

    def __init__(self, plan: dict, minute: int) -> None:
        self.plan, self.facts = plan, None
        self.status, self.step, self.minutes = "draft", 0, 0
        self.paused, self.pausing, self.overruled, self.shrugged_at = False, set(), set(), set()
        self.clock, self.seen = "", set()
        self.is_looked_at = False  # a minute after the step in force, or later
        self.tick(minute)

    def tick(self, minute: int) -> None:
        """A minute later."""
        self.minutes += 1
        self.clock, self.day = shown(minute)
        for date in [self.plan.get("start"), self.plan.get("end"), *(each.get("at") for each in self.plan["steps"])]:
            if date and self.clock >= date:
                self.seen.add(date)  # a clock that is put back does not undo it

    def is_open(self) -> bool:
        """Whether it is within hours."""
        if "hours" not in self.plan:
            return True
        days, (begin, end) = self.plan["hours"].get("days"), self.plan["hours"]["between"].split("-")
        now, today = self.clock[11:], self.day
        yesterday = {"sun": "sat", "mon": "sun", "tue": "mon", "sat": "fri"}.get(today, "")
        if begin < end:
            return (not days or today in days) and begin <= now < end
        return (now >= begin and (not days or today in days)) or (now < end and (not days or yesterday in days))

    def is_met(self, step: dict) -> bool:
        """Whether what a step says itself is so."""
        lasts = {"1m": 1, "10m": 10, "1h": 60, "5h": 300}.get(step.get("for", ""), 0)
        until = step.get("until", {})
        return (
            self.minutes >= lasts
            and (not until.get("units") or (self.facts is not None and self.facts.units >= until["units"]))
            and (not until.get("safe") or (self.facts is not None and self.facts.safe))
            and (not until or self.is_looked_at)
        )

    def alarms(self) -> dict[str, str]:
        """What alarms and is not overruled, and what is to be done about it."""
        if self.facts is None:
            return {}
        found = {name: self.plan["on_harm"] if sure else "tell" for name, sure in self.facts.harm.items()}
        if self.facts.split:
            found["split"] = self.plan["on_broken_split"]
        overruled = {"tell": self.overruled | self.shrugged_at}
        return {name: act for name, act in found.items() if name not in overruled.get(act, self.overruled)}

    def says(self, behind: bool) -> tuple[str, object] | None:
        """The act that it demands now."""
        if self.paused is True or self.status == "over":
            return None
        alarms = self.alarms() if self.status == "running" else {}
        if "roll back" in alarms.values():
            return "roll back", None
        if "pause" in alarms.values():
            return "pause", {name for name, act in alarms.items() if act == "pause"}
        return self.goes_on(bool(alarms)) if self.is_open() and not behind and not self.paused else None

    def goes_on(self, is_told: bool) -> tuple[str, object] | None:
        """The same where nothing has to be protected, although of something may be told."""
        has_ended = self.plan.get("end") in self.seen
        if self.status == "draft":
            return ("start", None) if self.plan.get("start") in self.seen and not has_ended else None
        own, rest = self.plan["steps"][self.step - 1], self.plan["steps"][self.step :]
        if has_ended or (not rest and ("for" in own or "until" in own) and self.is_met(own)):
            return self.then()
        is_due = bool(rest) and self.is_met(own) and ("at" not in rest[0] or rest[0]["at"] in self.seen)
        is_known = (self.is_looked_at or own["rollout"] == 0) and not (self.facts and self.facts.doubt)
        return ("step", self.step + 1) if is_due and is_known and not is_told else None

    def then(self) -> tuple[str, object] | None:
        """What comes after the end."""
        if self.facts is None:
            return None
        if self.facts.ships:
            choice = self.plan.get("then", {}).get("on_win", "tell")
            best = max(self.facts.ships, key=lambda each: self.facts.ships[each])
            return None if choice == "tell" else (choice, best if choice == "roll out" else None)
        choice = self.plan.get("then", {}).get("on_nothing", "tell")
        return None if choice == "tell" else (choice, None)

    def do(self, said: tuple[str, object]) -> None:
        """Take note of what was done."""
        self.is_looked_at = self.is_looked_at and said[0] == "pause"
        match said:
            case "start", _:
                self.status, self.step, self.minutes = "running", 1, 0
                self.paused, self.facts = False, None
                self.pausing, self.overruled, self.shrugged_at = set(), set(), set()
            case "step", number:
                assert number == self.step + 1
                self.step, self.minutes = number, 0
            case "pause", alarms:
                self.paused, self.pausing = True, set(alarms)
            case _:
                self.status = "over"


def plain(act: Act | None) -> tuple[str, object] | None:
    """An act as the model says it."""
    if act is None:
        return None
    told = msgspec.to_builtins(act)
    value = told.get("step") or told.get("variant") or (set(told["alarms"]) if "alarms" in told else None)
    return told["type"], value


class PlanMachine(RuleBasedStateMachine):
    """Time, looks, people and the plan's stage, in any order."""

    @initialize(data=st.data(), begin=st.sampled_from(BEGINS), sticky=st.booleans(), is_running=st.booleans())
    def begins(self, data: st.DataObject, begin: str, *, sticky: bool, is_running: bool) -> None:
        self.minute = at(begin) // MINUTE
        self.plan = data.draw(plans(begin))
        self.stage = Stage(self.plan, time=self.time, sticky=sticky)
        self.model = Model(self.plan, self.minute)
        self.looks, self.look, self.behind = 0, None, False
        self.given = (0.0, 0.0)
        if is_running:
            self.starts()

    @property
    def time(self) -> int:
        return self.minute * MINUTE

    def said(self) -> Act | None:
        """What question and model say, which is the same, whenever asked."""
        flag, behind = self.stage.flag, "a stage is down" if self.behind else None
        found = ask(flag, self.look, self.time, behind)
        assert found == ask(flag, self.look, self.time, behind)
        assert plain(found.act) == self.model.says(self.behind), (found, self.model.clock, self.plan)
        assert found.reason
        return found.act

    def acts(self) -> None:
        """The stage asks, and does what is said."""
        act = self.said()
        if act is None:
            return
        before, evidence = self.stage.state, self.stage.evidence(self.time, self.look)
        step, arguments = DONE[plain(act)[0]]
        self.stage.do(step, self.time, *arguments(act), evidence=evidence)
        self.model.do(plain(act))
        assert act_of(before, self.stage.state) == act
        again = ask(
            self.stage.history.at_offset(self.stage.history.newest.offset - 1).flags["basket"], self.look, self.time
        )
        assert again.act == act  # as a replay asks

    @rule(minutes=st.sampled_from([1, 10, 30]))
    def time_passes(self, minutes: int) -> None:
        for _ in range(minutes):
            self.minute += 1
            self.model.tick(self.minute)
            self.acts()

    @rule(minutes=st.sampled_from([60, 600, 1_500]))
    def nobody_is_there(self, minutes: int) -> None:
        for _ in range(minutes):
            self.minute += 1
            self.model.tick(self.minute)
        self.acts()

    @rule(
        shows=st.sampled_from(
            ["nothing", "nothing", "safety", "safety", "harm", "doubtful harm", "a broken split", "doubt", "no values"]
        ),
        units=st.sampled_from([0, 1, 99, 100]),
        harmed=st.sampled_from(["fails/blue", "fails/red", "orders/red"]),
        ships=st.sampled_from(SHIPS),
    )
    def a_look_comes(self, shows: str, units: int, harmed: str | None, ships: dict[str, float]) -> None:
        if self.model.status != "running":
            return
        harmed = harmed if "harm" in shows else None
        safe, sure, split = shows == "safety", shows != "doubtful harm", shows == "a broken split"
        self.looks += 1
        caveat, doubt = None if sure else "heavy tail", shows in ("doubt", "no values")
        ships = {} if shows == "doubt" else ships
        cells = []
        for each in TREATMENTS:
            judgement = "harmed" if harmed == f"fails/{each}" else "safe" if safe else "open"
            status = "withheld" if shows == "no values" and each == "red" else "ok"
            cells.append(make_cell("fails", each, judgement, caveat=caveat, status=status))
            judgement = "worse" if harmed == f"orders/{each}" else "better" if each in ships else "open"
            cells.append(make_cell("orders", each, judgement, caveat=caveat, relative_estimate=ships.get(each, 0.5)))
        self.look: Look | None = make_look(
            tuple(cells),
            units=units,
            split=0.001 if split else 0.5,
            ships=tuple(ships),
            decision="needs attention" if shows == "doubt" else None,
            look=self.looks,
            time=self.time,
            run=self.stage.flag.runs[-1].key,
        )
        self.model.is_looked_at = self.model.minutes > 0
        self.model.facts = Facts(units, safe, {harmed: sure} if harmed else {}, split, doubt, ships)
        self.acts()

    @rule(behind=st.sampled_from([True, False, False]))
    def a_stage_goes_or_comes_back(self, behind: bool) -> None:
        self.behind = behind
        self.acts()

    @rule(
        what=st.sampled_from(
            ["pauses", "pauses and resumes", "resumes", "edits", "edits and resumes", "resumes", "ends"]
        )
    )
    def somebody_else(self, what: str) -> None:
        """A person's command; whoever has asked before must ask again."""
        if self.model.status != "running":
            self.starts()
            return
        match what:
            case "pauses" | "pauses and resumes" if self.model.paused is not True:
                self.stage.do(lifecycle.pause, self.time)
                self.model.paused, self.model.pausing = True, set()
            case "edits" | "edits and resumes":
                self.edits()
            case "ends":
                self.stage.do(lifecycle.complete, self.time)
                self.model.status = "over"
        told = {name for name, act in self.model.alarms().items() if act == "tell"}
        if what.endswith("resumes") and (self.model.paused or told):
            seen = holding(self.stage.flag, self.look) if self.look else ()
            self.stage.do(lifecycle.resume, self.time, seen)
            self.model.overruled |= self.model.pausing if self.model.paused else set()
            self.model.shrugged_at |= told
            self.model.paused = False
        self.acts()

    def starts(self) -> None:
        """By hand, for the first time or again."""
        step = lifecycle.start if self.model.status == "draft" else lifecycle.restart
        self.stage.do(step, self.time, f"salt-{self.stage.version}")
        self.look, self.given = None, (0.0, 0.0)
        self.model.do(("start", None))

    def edits(self) -> None:
        """By an edit that changes what a variant is."""
        variants = tuple(Variant(key=each, payload=self.stage.version) for each in ("control", *TREATMENTS))
        definition = msgspec.structs.replace(self.stage.state.definition, variants=variants)
        self.stage.write(lifecycle.apply_definition(self.stage.state, definition, self.stage.version), self.time)
        self.model.pausing = self.model.pausing if self.model.paused else set()
        self.model.paused = self.model.paused or "edited"

    @invariant()
    def percentages_never_fall(self) -> None:
        if not hasattr(self, "stage") or self.model.status != "running":
            return
        flag = self.stage.flag
        if not (flag.plan and flag.plan.progress.paused):
            now = percentages(flag.runs[-1].allocations[-1])
            assert all(after >= before for before, after in zip(self.given, now, strict=True))
            self.given = now

    @invariant()
    def nothing_is_done_to_what_is_paused_or_over(self) -> None:
        if hasattr(self, "stage") and (self.model.paused or self.model.status == "over"):
            act = plain(ask(self.stage.flag, self.look, self.time).act)
            assert (
                self.model.status == "draft"
                or act is None
                or (self.model.paused == "edited" and act[0] in ("pause", "roll back"))
            )

    @invariant()
    def after_an_alarm_nothing_grows(self) -> None:
        if hasattr(self, "stage") and self.model.status == "running" and self.model.alarms():
            act = plain(ask(self.stage.flag, self.look, self.time).act)
            assert act is None or act[0] != "step"


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
