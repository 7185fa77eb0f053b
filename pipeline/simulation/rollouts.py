"""Rollouts: flags with plans that ramp up, from events to what their plans do, through the whole of the product that is
pure.

As in a stream, but that a plan is asked after every look, and what it says is done: a version of the flag that applies
a second later, as any editor's. Every experiment has visitors of its own, so that one's harm is in no other's events.
Visitors that it leaves out send nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import evaluate_columns
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, Catalog
from evaluation.catalog.lifecycle import apply_definition, pause, roll_back, start, take_step
from evaluation.catalog.references import OFF
from evaluation.columns.texts import Texts
from evaluation.flags.paths import unit_selector
from evaluation.plans.acts import PausePlan, RollBack, TakeStep
from evaluation.plans.question import Said, ask
from evaluation.significance.look import look
from pipeline.simulation.stream import (
    ENTRIES,
    ERROR,
    GOALS,
    HORIZON,
    METRICS,
    START,
    STAY,
    TOPICS,
    TREATMENT,
    VARIANTS,
    WINDOW,
    PurePipeline,
    records_of,
)
from schemas.aggregate import Aggregate
from schemas.catalog import Analysis, Flag, FlagState, Variant
from schemas.look import Look
from schemas.plan import Plan, PlanStep, Until
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES

PURCHASES = 0.1  # share of the visitors, had they stayed for ever
PLAN = Plan(
    steps=(
        PlanStep(rollout=1, lasts="2m"),
        PlanStep(rollout=10, lasts="2m", until=Until(units=200)),
        PlanStep(rollout=50),
    ),
    on_harm="roll back",
    on_broken_split="pause",
)
EVENTS_OF = ("purchase", "error")
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Ramps:
    """So many experiments, all alike, each with so many visitors of its own, and looks at so many moments.

    Whom they treat errs more often, by the relative `harm`.
    """

    experiments: int
    visitors: int = 16_000
    looks: int = 24
    harm: float = 0.0


class Followed(NamedTuple):
    """A look at one experiment: what it was made from, and what the plan says to it."""

    aggregates: tuple[Aggregate, ...]
    look: Look
    said: Said


def follow(random: Generator, ramps: Ramps) -> Iterator[dict[str, Followed]]:
    """At each moment a look at every experiment that runs on; everyone is settled at the last."""
    history = _started(ramps.experiments)
    keys = sorted(history.newest.flags)
    visitors = _Visitors(random, ramps, history)
    pipeline = PurePipeline(history)
    looks: dict[str, Look] = {}
    end = START + ENTRIES + WINDOW + HORIZON + 1
    for moment in np.linspace(START, end, ramps.looks + 1)[1:].astype(int).tolist():
        of_runs = pipeline.until(moment, visitors.until(moment))
        followed = {}
        for key, aggregates in zip(keys, of_runs, strict=True):
            flag = history.newest.flags[key]
            if flag.status == "running":
                looks[key] = look(flag.runs[-1], aggregates, looks.get(key))
                followed[key] = Followed(aggregates, looks[key], ask(flag, looks[key], moment))
        for key, each in followed.items():
            if _do(history, key, each.said, moment):
                visitors.notice(history.newest, key, moment + SETTLING)
        yield followed


def _started(experiments: int) -> History:
    history = History()
    metrics = [metric for metric in METRICS if metric.key in EVENTS_OF]
    goals = tuple(goal for goal in GOALS if goal.metric in EVENTS_OF)
    variants = tuple(Variant(key=key) for key in VARIANTS)
    for metric in metrics:
        history.suppose(metric, START - 2 * SETTLING)
    for number in range(experiments):
        flag = Flag(
            key=f"rollout-{number:05}",
            owner="simulation",
            variants=variants,
            metrics=goals,
            analysis=Analysis(correction="none"),
            plan=PLAN,
        )
        history.suppose(start(apply_definition(None, flag, 1), 1, salt=flag.key), START - 2 * SETTLING)
    return history


def _do(history: History, key: str, said: Said, moment: int) -> bool:
    """Do what the plan says, if it says to do anything."""
    if said.act is None:
        return False
    state, version = _state_of(history, key), history.newest.version_of("flag", key) + 1
    match said.act:
        case TakeStep(step):
            after = take_step(state, version, step)
        case PausePlan(why, alarms):
            after = pause(state, version, why, alarms)
        case RollBack():
            after = roll_back(state, version)
        case act:
            raise ValueError(f"the plan of {key} asks for {act}, which none of these plans may")
    history.suppose(after, moment)
    return True


def _state_of(history: History, key: str) -> FlagState:
    state = history.state_of(key)
    assert state is not None
    return state


class _Visitors:
    """The visitors of every experiment, and what their devices send; they know their variants, as any SDK does."""

    def __init__(self, random: Generator, ramps: Ramps, history: History) -> None:
        keys, n = sorted(history.newest.flags), ramps.experiments * ramps.visitors
        self._random, self._keys = random, keys
        self._number = random.integers(1, 1 << 40) + np.arange(n)
        self._owner = random.permutation(np.repeat(np.arange(len(keys)), ramps.visitors))
        self._entry = np.sort(START + random.integers(0, ENTRIES, n))
        self._variant, self._from_step = self._by_steps(history)
        self._since = np.full((len(keys), len(PLAN.steps)), NEVER)  # of each step
        self._since[:, 0] = START
        self._until = np.full(len(keys), NEVER)  # rolled back
        self._rates = {"purchase": np.full(2, PURCHASES), "error": ERROR * np.array([1.0, 1.0 + ramps.harm])}
        self._entered = 0
        self._begin = dict.fromkeys(TOPICS, 0)
        self._due: list[tuple[int, str]] = []  # events to come

    def notice(self, catalog: Catalog, key: str, moment: int) -> None:
        """From a moment (ms UTC) on, do what the flag says by this catalog."""
        number, flag = self._keys.index(key), catalog.flags[key]
        if flag.status != "running":
            self._until[number] = moment
        elif flag.plan:
            step = flag.plan.progress.step - 1
            self._since[number, step] = min(moment, self._since[number, step])

    def until(self, moment: int) -> list[Records]:
        """The exposures, and the events, between the last moment and this one (ms UTC)."""
        begin, self._entered = self._entered, int(np.searchsorted(self._entry, moment))
        who = np.arange(begin, self._entered)
        owner, entry = self._owner[who], self._entry[who]
        step = np.sum(entry[:, None] >= self._since[owner], axis=1) - 1
        who = who[(self._from_step[who] <= step) & (entry < self._until[owner])]
        columns = (self._owner, self._variant, self._number, self._entry)
        exposures = [
            f'{{"flag_key":"{self._keys[owner]}","variant":"{VARIANTS[variant]}","user_id":"u{number}","time":{at}}}'
            for owner, variant, number, at in zip(*(each[who].tolist() for each in columns), strict=True)
        ]
        for event, rates in self._rates.items():
            self._due += self._sent(event, who[self._random.random(len(who)) < rates[self._variant[who]]])
        self._due.sort()
        happened = bisect_left(self._due, (moment, ""))
        events, self._due = self._due[:happened], self._due[happened:]
        return [
            self._appended(EXPOSURES, self._entry[who], exposures),
            self._appended(EVENTS, np.array([time for time, _ in events], np.int64), [told for _, told in events]),
        ]

    def _sent(self, event: str, who: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
        time = self._entry[who] + self._random.exponential(STAY, len(who)).astype(np.int64)
        for number, at in zip(self._number[who].tolist(), time.tolist(), strict=True):
            told = f'"event_type":"{event}","user_id":"u{number}","time":{at},"insert_id":"{event}{number}"'
            yield at, f"{{{told}}}"

    def _appended(self, topic: str, time: NDArray[np.int64], told: Sequence[str]) -> Records:
        begin = self._begin[topic]
        self._begin[topic] += len(told)
        return records_of(topic, begin, time, [each.encode() for each in told])

    def _by_steps(self, history: History) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each visitor's variant, and from which step on it has one, by the flags' own evaluation of every step."""
        variant, from_step = np.zeros(len(self._owner), np.int64), np.full(len(self._owner), len(PLAN.steps))
        asked = [np.flatnonzero(self._owner == number) for number in range(len(self._keys))]
        for step, catalog in reversed([*enumerate(_by_step(history))]):
            for number, key in enumerate(self._keys):
                own = replace(catalog, flags={key: catalog.flags[key]})
                who = asked[number]
                ids = PropertyColumn.of_texts(Texts.of([f"u{each}" for each in self._number[who].tolist()]))
                answers = evaluate_columns(flags_in_force(own), {unit_selector("user_id"): ids}, len(who))[key]
                given = np.array([answer.key for answer in answers.outcomes], object)[answers.codes]
                asked[number] = who = who[given != OFF]
                variant[who], from_step[who] = given[given != OFF] == TREATMENT, step
        return variant, from_step


def _by_step(history: History) -> Iterator[Catalog]:
    """The catalog with each step in force, of every plan."""
    ahead = history.copy()
    yield ahead.newest
    for step in range(2, len(PLAN.steps) + 1):
        for key in history.newest.flags:
            ahead.suppose(take_step(_state_of(ahead, key), step, step), START)
        yield ahead.newest
