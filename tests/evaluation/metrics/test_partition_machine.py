"""A deployment's aggregation as a state machine: workers crash and go on from checkpoints, partitions move, sources
repeat themselves, the catalog changes; in the end the units partitions together are what the queries say.
"""

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from evaluation.metrics.partition import Partition
from schemas.units import Kind
from tests.evaluation.metrics import conftest
from tests.evaluation.metrics.test_partition_laws import FACTS, HORIZON, catalogs_of, expected_of
from tests.oracle import Oracle, published

PARTITIONS = 2
AHEAD = 150  # event times lie at most so far ahead of the clock
MAKE = SimpleNamespace(
    metric=conftest.make_metric, run=conftest.make_run, catalog=conftest.make_catalog, Log=conftest.Log,
    arms=conftest.ARMS,
)  # fmt: skip
ORACLE = Oracle()

partitions = st.integers(0, PARTITIONS - 1)
moments = st.one_of(st.just(0), st.integers(-HORIZON, AHEAD))  # from the clock on
names = st.sampled_from([0, 1, 2, (1 << 64) - 1])
exposed = st.tuples(
    st.sampled_from([0] * 9 + [Kind.LATE, Kind.FORCED]).map(lambda kind: kind | Kind.EXPOSURE),
    st.sampled_from([0, 0, 0, 0, 1, 2, 4]),
    st.sampled_from([0, 1, 2, 64, 65]),
)
happened = st.tuples(st.sampled_from([0] * 9 + [Kind.LATE, Kind.UNUSABLE]), st.integers(0, FACTS - 1), st.just(0))
said = st.tuples(st.one_of(exposed, happened, happened, happened), st.integers(0, 5), moments, names)


class Aggregation(RuleBasedStateMachine):
    """Each partition has a log of messages; its worker's state is lost in a crash, the log and checkpoints are not."""

    def __init__(self) -> None:
        super().__init__()
        catalogs = catalogs_of(MAKE, "nothing")
        self.logs = [MAKE.Log(*catalogs) for _ in range(PARTITIONS)]
        self.messages = [[] for _ in range(PARTITIONS)]
        self.checkpoints = [(0, log.partition.save()) for log in self.logs]
        self.rows = []
        self.clock = HORIZON
        self.values = {}

    def send(self, number, rows, topic="events"):
        log = self.logs[number]
        message = log.message(rows, clock=self.clock, topic=topic)
        self.messages[number].append(message)
        log.partition.fold(log.partition.offset, message, log.catalog_at)

    @rule(sayings=st.lists(said, min_size=1, max_size=12))
    def speak(self, sayings):
        """Units meet variants and send events; one of them may be a second copy of an earlier one."""
        rows = []
        for (kind, code, packed), unit, moment, name in sayings:
            time = self.clock + moment
            event = (code, unit, time, name)
            value = packed if kind & Kind.EXPOSURE else self.values.setdefault(event, (unit * 31 + time * 7) % 90 - 20)
            rows.append((int(kind), code, unit, time, name, value))
        self._say(rows)

    @rule(data=st.data())
    @precondition(lambda self: self.rows)
    def repeat(self, data):
        """A producer sends again what it sent before."""
        recent = [row for row in self.rows[-20:] if row[3] >= self.clock - HORIZON]
        if recent:
            self._say([data.draw(st.sampled_from(recent))])

    def _say(self, rows):
        self.rows += rows
        for number in range(PARTITIONS):
            its = [row for row in rows if row[2] % PARTITIONS == number]
            if its:
                self.send(number, its)

    @rule(more=st.sampled_from([1, 30, 100, 250]))
    def pass_time(self, more):
        """Every source moves on."""
        self.clock += more
        for number in range(PARTITIONS):
            for topic in ("events", "exposures"):
                self.send(number, [], topic)

    @rule(number=partitions)
    def checkpoint(self, number):
        """A worker keeps its state."""
        partition = self.logs[number].partition
        self.checkpoints[number] = (partition.offset, partition.save())

    @rule(number=partitions)
    def crash(self, number):
        """Another worker takes the partition over: from the checkpoint on, the log is folded again."""
        log = self.logs[number]
        offset, state = self.checkpoints[number]
        log.partition = Partition.load(state)
        for place, message in enumerate(self.messages[number][offset:], offset):
            log.partition.fold(place, message, log.catalog_at)

    @rule(number=partitions, data=st.data())
    @precondition(lambda self: any(self.messages))
    def stutter(self, number, data):
        """A zombie of the assignment stage sends what was sent."""
        if self.messages[number]:
            message = data.draw(st.sampled_from(self.messages[number]))
            self.messages[number].append(message)
            log = self.logs[number]
            log.partition.fold(log.partition.offset, message, log.catalog_at)

    @rule(number=partitions)
    def look(self, number):
        """Somebody asks, which settles units."""
        self.logs[number].partition.aggregates()

    @rule()
    @precondition(lambda self: len(self.logs[0].catalogs) == 1)
    def change_a_metric(self):
        """A metric has another definition for the units that enter from a moment on that nobody has reached."""
        since = self.clock + AHEAD + 1
        changed = MAKE.metric("buys", "count", "150ms", version=2)
        (run, other) = self.logs[0].catalogs[-1].flags["flag"].runs
        run = replace(run, metrics=run.metrics | {"buys": changed}, since=run.since | {"buys": since})
        self._apply([run, other])

    def _apply(self, runs):
        catalog = MAKE.catalog(self.logs[0].catalogs[-1].offset + 1, runs)
        for number, log in enumerate(self.logs):
            log.catalogs.append(catalog)
            self.send(number, [])

    def teardown(self):
        """All partitions together are what the queries say."""
        for number in range(PARTITIONS):
            self.send(number, [], "events")
            self.send(number, [], "exposures")
        aggregates = [each for log in self.logs for each in log.partition.aggregates()]
        expected = expected_of(ORACLE, self.rows, self.logs[0].catalogs[-1], MAKE, self.logs[0].partition.clock)
        found = published(aggregates)
        assert sorted(found - expected, key=str) == sorted(expected - found, key=str)


Aggregation.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestAggregation = Aggregation.TestCase
