"""The stages as a state machine, with runs that are recounted: once more from the start, by what documents say by then.

What is told of the past comes in any order and cut anywhere, beside what comes now; its teller falls and begins again
earlier. Runs are recounted while others are, stopped, and recounted again. In the end each run comes to what the
queries say of all records, as if it had had its metrics, windows and breakdowns from its first day.
"""

import random
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.recounts import why_not
from evaluation.recounting.past import Past
from pipeline.stages.gathering import Gathering
from schemas.catalog import Breakdown, Goal
from schemas.recount import Recount, marked
from tests.evaluation.appended import appended
from tests.evaluation.test_stages_machine import (
    FLAGS,
    HORIZON,
    LATER,
    PARTITIONS,
    TOLERANCE,
    Stages,
)
from tests.oracle import segments as named

BREAKDOWNS = (
    (),
    (Breakdown(property="platform", values=("web",)),),
    (Breakdown(property="language", values=("en",)), Breakdown(property="platform", values=("Android", "web"))),
)
flags = st.sampled_from([flag.key for flag in FLAGS])
seeds = st.integers(0, 1 << 32)


class Teller:
    """Tells a generation what came before it, source by source."""

    def __init__(self, stages: "RecountedStages", generation: int) -> None:
        self.stages = stages
        self.past = Past(stages.history.copy(), generation)
        self.generation = generation
        self.sources = dict(stages.sources)
        self.told = dict.fromkeys(self.sources, 0)
        self.begin(self.told)

    def begin(self, offsets: dict[tuple[str, int], int]) -> None:
        """Begin there."""
        topics = [topic for topic, _ in self.sources]
        expected = {marked(topic, self.generation): topics.count(topic) for topic in topics}
        self.gathering = Gathering(PARTITIONS, HORIZON, expected)
        self.position = dict(offsets)
        for (topic, partition), offset in offsets.items():
            self.gathering.begin((marked(topic, self.generation), partition), offset)
            self.gathering.reach((marked(topic, self.generation), partition), 0, self.past.catalog)

    def tell(self, source: tuple[str, int], size: int) -> None:
        """Some of a source, up to the boundary."""
        begin = self.position[source]
        some = [each for each in self.sources[source][begin : begin + size] if each[0] < self.past.boundary]
        name = marked(source[0], self.generation), source[1]
        records = appended(source, begin, some)
        for said in self.past.told(records, HORIZON, TOLERANCE):
            self.gathering.add(name, said)
        self.position[source] = begin + len(some)
        if len(some) < size and self.stages.now >= self.past.boundary:
            self.gathering.reach(name, self.past.boundary, self.past.catalog)

    def cut(self) -> None:
        """Send what was gathered."""
        _, messages = self.gathering.cut()
        for number, message in enumerate(messages):
            self.stages.units[number].append(message)
        self.told = dict(self.position)


class RecountedStages(Stages):
    """`tellers` by flag: of those runs that are being recounted."""

    def __init__(self) -> None:
        super().__init__()
        self.tellers: dict[str, Teller] = {}
        self.is_told = False  # to other generations everything is

    @initialize(seed=seeds)
    def have_a_past(self, seed: int) -> None:
        """Some hours went well, and runs are recounted."""
        super().have_a_past(seed)
        chance = random.Random(seed)
        for flag in FLAGS:
            if chance.random() < 0.7:
                self.recount(flag.key, seed)
                if chance.random() < 0.5:
                    self.tell([50] * 12, cut=True, seed=seed)
                if chance.random() < 0.3:
                    self.finish(flag.key)

    @rule(flag=flags, seed=seeds)
    def break_down(self, flag: str, seed: int) -> None:
        """Somebody lists other breakdowns, which change nothing by themselves."""
        breakdowns = BREAKDOWNS[seed % len(BREAKDOWNS)]
        if self.history.newest.flags[flag].definition.breakdowns != breakdowns:
            self._edit(flag, breakdowns=breakdowns)

    @rule(flag=flags, seed=seeds)
    def recount(self, flag: str, seed: int) -> None:
        """A run is counted from its start by what documents say now; a recount that was on its way is given up."""
        if seed % 3 == 0:
            self.break_down(flag, seed // 3)
        known = self.history.newest.flags[flag]
        if why_not(known, known.runs[-1].key):
            return
        self._say(flag, "begun")
        coming = self.history.newest.flags[flag].runs[-1].coming
        assert coming
        self.tellers[flag] = Teller(self, coming.generation)

    @rule(sizes=st.lists(st.sampled_from([0, 1, 4, 50]), max_size=12), cut=st.booleans(), seed=seeds)
    def tell(self, sizes: list[int], cut: bool, seed: int) -> None:
        """Tellers of the past go on, some of them."""
        for size in sizes:
            if not self.tellers:
                return
            chance = random.Random(seed + size)
            teller = self.tellers[chance.choice(sorted(self.tellers))]
            teller.tell(chance.choice(list(teller.sources)), size)
            if cut:
                teller.cut()
            seed += 1

    @rule(flag=flags, seed=seeds)
    def fall(self, flag: str, seed: int) -> None:
        """A teller falls, and begins again where it had been, or earlier."""
        if teller := self.tellers.get(flag):
            teller.begin({source: max(0, offset - seed % 9) for source, offset in teller.told.items()})

    @rule(flag=flags)
    def finish(self, flag: str) -> None:
        """Everything is told, and the catalog says so; what is in force by then has changed nothing."""
        teller = self.tellers.pop(flag, None)
        if teller is None:
            return
        self.now = max(self.now, teller.past.boundary)
        for source in teller.sources:
            teller.tell(source, 1 << 20)
        teller.cut()
        self._say(flag, "complete", teller.past.run.key)

    @rule(flag=flags)
    def stop(self, flag: str) -> None:
        """Somebody gives up."""
        if teller := self.tellers.pop(flag, None):
            self._say(flag, "stopped", teller.past.run.key)

    def _say(self, flag: str, state: Any, run: str | None = None) -> None:
        key = run or self.history.newest.flags[flag].runs[-1].key
        self._publish(flag, Recount(key=flag, run=key, state=state))
        self.now += 50

    def teardown(self) -> None:
        """What is on its way comes to its end."""
        for number, flag in enumerate([*self.tellers]):
            if number % 3:
                self.stop(flag)
            else:
                self.finish(flag)
        super().teardown()
        if LATER.key not in self.history.newest.metrics:
            self._publish(LATER.key, LATER)
        for flag in FLAGS:  # and what is complete is counted again
            goals = self.history.newest.flags[flag.key].definition.metrics
            if Goal(metric=LATER.key) not in goals:
                self._edit(flag.key, metrics=(*goals, Goal(metric=LATER.key)))
            self.recount(flag.key, 3 * 2)
        for flag in FLAGS:
            self.finish(flag.key)
        self._finish()
        self._equal()
        runs = [run for partition in self.partitions for run in self._look(partition)]
        assert all(run.final for run in runs)
        assert all(flag.runs[-1].generation for flag in self.history.newest.flags.values())

    def _tables(self, runs: list[RunInForce]) -> dict[str, list[tuple[Any, ...]]]:
        tables = super()._tables(runs)
        facts = {
            marked(fact.key, run.generation): fact
            for run in runs
            for each in run.metrics.values()
            for fact in (*each.facts, *each.past_facts)
        }
        of_first = {key: fact for key, fact in facts.items() if key == fact.key}
        tables["events"] = [row for each in self.said["events"] for row in self._event(of_first, **each)]
        of_others = {key: fact for key, fact in facts.items() if key != fact.key}
        self.is_told = True
        tables["events"] += [row for each in self.said["events"] for row in self._event(of_others, **each)]
        self.is_told = False
        return tables

    def _is_heard(self, appended: int) -> bool:
        return self.is_told or super()._is_heard(appended)

    def _row(self, flag, run, allocation, variant, message, name, appended, inactive, forced):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        row = super()._row(flag, run, allocation, variant, message, name, appended, inactive, forced)
        (of,) = [each for each in self.history.newest.flags[flag].runs if each.key == run]
        packed = 0
        for place, each in enumerate(of.definition.breakdowns):
            said = message.get(each.property)
            packed |= (each.values.index(said) + 1 if said in each.values else 0) << 6 * place
        return (*row[:6], packed, named(of.definition.breakdowns, packed), *row[8:])


RecountedStages.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    phases=[Phase.generate],
)
TestRecountedStages = RecountedStages.TestCase
del Stages
