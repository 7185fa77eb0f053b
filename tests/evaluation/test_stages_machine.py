"""The pure stages of a deployment as a state machine: producers, assignment, aggregation, over logs that keep all.

Workers of both stages crash and go on from what they had promised, partitions move and are added, zombies repeat what
was sent, slices and messages have any size; records are late, early and repeated; metrics, weights and runs change. In
the end the units partitions together are what the queries say of the records, each judged by the catalog at its append
time alone. Then all runs end: what was final stays as it was, and nothing else of it is kept.
"""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import xxhash
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from evaluation.assignment.plan import events_until
from evaluation.assignment.routing import assign
from evaluation.catalog import lifecycle
from evaluation.catalog.history import History
from evaluation.catalog.in_force import RunInForce
from evaluation.metrics.partition import Partition
from pipeline.stages.gathering import Gathering
from schemas.aggregate import Aggregate
from schemas.catalog import (
    KINDS,
    Breakdown,
    Cohort,
    Condition,
    Cuped,
    Document,
    Flag,
    FlagState,
    Goal,
    Metric,
    Spec,
    Step,
    Variant,
)
from tests.evaluation.appended import appended
from tests.oracle import Oracle, definitions, published

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
HORIZON = TOLERANCE = HOUR
BEGIN = 1_764_000_000_000
PARTITIONS = 2
MOST_ROWS = 40  # gathered before they are sent
SOURCES = (("exposures", 0), ("events", 0), ("events", 1))
MOST_SOURCES = 5
ORACLE = Oracle()

TROUBLES = ("gathered", "promises", "grow", "grow", "zombie", "checkpoint", "crash")
EDITS = ("window", "metric", "weights", "weights", "end", "restart", "others")
seeds = st.integers(0, 1 << 32)
numbers = st.integers(0, PARTITIONS - 1)
amounts = st.sampled_from([1, 10, 30])

USERS = [f"user-{number}" for number in range(12)]
FORCED = USERS[7]
LISTED = ("iOS", "Android")
PLATFORMS = (*LISTED, "web", None)
WINDOWS = [minutes * MINUTE for minutes in (30, 60, 120, 180)]
LOOKBACK = 14 * HOUR
VIEW, BUY = Step(event="view"), Step(event="buy")
DEAR = (Condition(property="event_properties.price", op="greater", values=("20",)),)


def metric(key: str, kind: str, window: str, **fields: Any) -> Metric:
    if kind in ("conversion", "count", "sum", "mean"):
        fields.setdefault("event", "buy")
    if kind in ("sum", "mean"):
        fields["property"] = "price"
    return Metric(key=key, owner="shop", type=kind, window=window, **fields)  # type: ignore[arg-type]


METRICS = [
    metric("bought", "conversion", "3h", cuped=Cuped(lookback="14h")),
    metric("buys", "count", "30m", cap=2.0, log=True),
    metric("ever", "count", "none"),
    metric("spent", "sum", "2h", cuped=Cuped(lookback="14h")),
    metric("price", "mean", "2h", cap=40.0, lower_cap=-1.0),
    metric("logged", "sum", "1h", cap=50.0, log=True),
    metric("dear", "sum", "2h", where=DEAR),
    metric("funnel", "funnel", "3h", steps=(VIEW, BUY)),
    metric("rounds", "funnel", "none", steps=(BUY, VIEW, BUY), counting="totals"),
    metric("back", "retention", "2h", start=VIEW, event="buy", nth=1, period="1m"),
    metric("at_once", "retention", "none", start=BUY, event="buy", nth=0, period="30m"),
    metric("each", "ratio", "2h", numerator="spent", denominator="ever", cuped=Cuped(lookback="7h", others=("dear",))),
    metric("steps", "funnel", "1h", steps=(VIEW, BUY), cuped=Cuped(lookback="14h", others=("each", "dear"))),
]
LATER = metric("later", "count", "1h", event="other")


def experiment(key: str, metrics: list[str], weights: tuple[int, int] = (1, 1), **fields: Any) -> Flag:
    users = {"a": (FORCED,)} if key == "button" else {}
    variants = tuple(
        Variant(key=name, weight=weight, users=users.get(name, ())) for name, weight in zip("ab", weights, strict=True)
    )
    goals = tuple(Goal(metric=each) for each in metrics)
    return Flag(key=key, owner="shop", variants=variants, metrics=goals, **fields)


FLAGS = [
    experiment("button", [each.key for each in METRICS], breakdowns=(Breakdown(property="platform", values=LISTED),)),
    experiment("menu", ["bought", "dear", "each", "funnel"], unit="device_id"),
    experiment("team", ["bought", "buys", "spent", "funnel"], unit="groups.org"),
    # An event stands in for its exposures; all get the same variant, whatever they hash to.
    experiment("till", ["buys", "back"], (1, 0), exposure_event=Step(event="view", where=(
        Condition(property="platform", op="is not", values=("web",)),
    ))),
]  # fmt: skip


keys = st.sampled_from([flag.key for flag in FLAGS])


UNITS = ("user_id", "device_id", "groups.org")
UNIT = {flag.key: flag.unit for flag in FLAGS}


def unit_of(kind: str, message: dict[str, Any]) -> int | None:
    """The hash of a message's unit of a type, by another implementation; None: it carries none."""
    name = message.get("groups", {}).get("org") if kind == "groups.org" else message.get(kind)
    return None if name is None else xxhash.xxh64(f"{kind}\0{name}".encode()).intdigest()


def id_of(topic: str, partition: int, offset: int, insert_id: str | None) -> int:
    """A record's id, by another implementation."""
    return xxhash.xxh64((insert_id or f"{topic}/{partition}/{offset}/0").encode()).intdigest()


class Stages(RuleBasedStateMachine):
    """Logs are never lost, a worker's state is. `said` holds what each record says, for the queries."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.now = BEGIN - 20 * HOUR
        self.standing: dict[str, list[tuple[int, str, int, bool]]] = {flag.key: [] for flag in FLAGS}
        self.started: dict[tuple[str, str], int] = {}  # by flag and run
        for each in METRICS:
            self._publish(each.key, each)
        for flag in FLAGS:
            self._publish(flag.key, FlagState(definition=flag))
        self.now = BEGIN - SECOND
        for flag in FLAGS:
            self._step(flag.key, lambda state, version: lifecycle.start(state, version, salt="s"))
        self.now = BEGIN
        self.sources: dict[tuple[str, int], list[tuple[int, bytes]]] = {source: [] for source in SOURCES}
        self.said: dict[str, list[dict[str, Any]]] = {"exposures": [], "events": []}
        self.moments: list[list[int]] = [[] for _ in USERS]
        self.values: dict[tuple[Any, ...], int | None] = {}
        self.units: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.partitions = [Partition(number, HORIZON) for number in range(PARTITIONS)]
        self.checkpoints = [each.save() for each in self.partitions]
        self.final: dict[tuple[str, str, int, int], Aggregate] = {}
        self.promised = dict.fromkeys(SOURCES, 0)
        self._assign_again()

    # The catalog

    def _publish(self, key: str, spec: Spec) -> None:
        kind = KINDS[type(spec)]
        base = self.history.newest.version_of(kind, key)
        document = Document(
            kind=kind, key=key, version=base + 1, base=base, author="-", time=0, reason="-",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )  # fmt: skip
        self._append_to_catalog(msgspec.json.encode(document))
        assert self.history.versions[-1].document.key == key
        if isinstance(spec, FlagState) and spec.runs:
            run = spec.runs[-1]
            standing = self.now + SECOND, run.key, len(run.allocations) - 1, run.completed is None
            self.standing[key].append(standing)
            self.started.setdefault((key, run.key), self.now)

    def _append_to_catalog(self, value: bytes | None) -> None:
        self.history.append(len(self.history.states) - 1, self.now, value)

    def _step(self, flag: str, step: Callable[[FlagState, int], FlagState]) -> None:
        state = self.history.state_of(flag)
        assert state
        version = self.history.newest.version_of("flag", flag) + 1
        self._publish(flag, step(state, version))

    def _in_force(self, flag: str, append_time: int) -> tuple[str, int, bool]:
        """Run, allocation, and whether it takes entries."""
        standing = self.standing[flag]
        return standing[bisect_right(standing, append_time, key=lambda each: each[0]) - 1][1:]

    @rule(what=st.sampled_from(EDITS), flag=keys, seed=seeds)
    def change(self, what: str, flag: str, seed: int) -> None:
        """Somebody edits the catalog, while records are on their way."""
        match what:
            case "window":
                window = random.Random(seed).choice(["30m", "90m"])
                self._publish("buys", metric("buys", "count", window, cap=2.0, log=True))
            case "metric" if LATER.key not in self.history.newest.metrics:
                self._publish(LATER.key, LATER)
                self._edit("button", metrics=(*FLAGS[0].metrics, Goal(metric=LATER.key)))
            case "weights" if flag != "till":
                one, other = self.history.newest.flags[flag].definition.variants
                self._edit(flag, variants=(one, msgspec.structs.replace(other, weight=1 + seed % 3)))
            case "end" if self.history.newest.flags[flag].status == "running":
                self._step(flag, lifecycle.complete)
            case "restart":
                self._step(flag, lambda state, version: lifecycle.restart(state, version, salt=f"s{version}"))
            case "others":  # which concern no flag and no metric, or are no documents at all
                chance = random.Random(seed)
                for each in chance.choices(
                    (Cohort(key="some", owner="-", ids=("1",)), None, b"{}"), k=chance.randrange(4)
                ):
                    if isinstance(each, Cohort):
                        self._publish(each.key, each)
                    else:
                        self._append_to_catalog(each)
        self._produce(random.Random(seed), 10)

    def _edit(self, flag: str, **fields: Any) -> None:
        definition = msgspec.structs.replace(self.history.newest.flags[flag].definition, **fields)
        self._step(flag, lambda state, version: lifecycle.apply_definition(state, definition, version))

    # Producers

    @initialize(seed=seeds)
    def have_a_past(self, seed: int) -> None:
        """Some hours went well, with or without edits."""
        chance = random.Random(seed)
        for _ in range(chance.randrange(6)):
            self.produce(chance.choice([20 * MINUTE, HOUR, LOOKBACK]), chance.getrandbits(32), 25)
            self.work([50] * len(SOURCES), count=True, cut=True, fold=True, look=True)
            if chance.random() < 0.4:
                self.change(chance.choice(EDITS), chance.choice(FLAGS).key, chance.getrandbits(32))

    @rule(later=st.sampled_from([0, MINUTE, 20 * MINUTE, HOUR, LOOKBACK]), seed=seeds, number=amounts)
    def produce(self, later: int, seed: int, number: int) -> None:
        """After a while, units meet variants and send events."""
        self.now += later
        self._produce(random.Random(seed), number)

    def _produce(self, chance: random.Random, number: int) -> None:
        for _ in range(number):
            recent = [each for each in self.said["events"][-20:] if each["message"].get("insert_id")]
            if recent and chance.random() < 0.1:  # a producer sends again what it sent before
                self._append("events", chance.randrange(len(self.sources) - 1), chance.choice(recent)["message"])
                continue
            user = chance.randrange(len(USERS))
            who: dict[str, Any] = {
                "user_id": USERS[user],
                "device_id": f"device-{user // 2}",
                "groups": {"org": f"org-{user // 4}"},
            }
            if chance.random() < 0.1:
                del who[chance.choice(list(who))]
            message: dict[str, Any] = who | {"time": self._moment(chance, user), "platform": chance.choice(PLATFORMS)}
            if chance.random() < 0.8:
                message["insert_id"] = chance.choice("xyz")
            is_waiting = user >= 8 and self.now < BEGIN + LOOKBACK  # a third meet variants after they have done much
            if chance.random() < 0.3 and not is_waiting:
                self._expose(chance, user, message)
            else:
                self._happen(chance, message)
            self.now += chance.choice([0, 0, 50, 200, SECOND])

    def _moment(self, chance: random.Random, user: int) -> int:
        """Now, earlier, too late, or at an edge of what counts of what the unit did."""
        did = self.moments[user][-8:]
        time = self.now + chance.choice([0, 0, 0, -MINUTE, chance.randrange(-HORIZON, MINUTE), -2 * HORIZON, -HORIZON])
        if did and chance.random() < 0.5:
            time = chance.choice(did) + chance.choice([0, 0, MINUTE, *WINDOWS]) - chance.choice([0, 0, 1, MINUTE])
        long_after = [then + LOOKBACK for then in self.moments[user] if -HORIZON <= then + LOOKBACK - self.now <= 0]
        if long_after and chance.random() < 0.3:  # what was then is the first that a covariate covers
            time = min(long_after)
        self.moments[user].append(min(time, self.now + TOLERANCE + 1))
        return self.moments[user][-1]

    def _expose(self, chance: random.Random, user: int, message: dict[str, Any]) -> None:
        flag = chance.choice(["button", "button", "menu", "team"])
        moved = (
            self._in_force(flag, self.now)[1] if user % 3 == 0 else 0
        )  # a third meets another variant by other weights
        variant = user // (4 if flag == "team" else 2) + moved + (chance.random() < 0.05)
        message |= {"flag_key": flag, "variant": "ab"[variant % 2]}
        if chance.random() < 0.1:
            message["experiment_key"] = "exp-1"
        self._append("exposures", 0, message)
        if chance.random() < 0.2:  # a device that says it twice, at one time
            twin = message | {"platform": chance.choice(PLATFORMS), "insert_id": chance.choice("xyz")}
            self._append("exposures", 0, twin)

    def _happen(self, chance: random.Random, message: dict[str, Any]) -> None:
        event = message["event_type"] = chance.choice(["buy", "buy", "buy", "view", "view", "other"])
        place = event, message["time"], message.get("insert_id")  # whoever shares a device or an organisation
        cents = self.values.setdefault(place, chance.choice([None, -300, 150, 2000, 2001, 4500, 777]))
        if cents is not None:
            message["event_properties"] = {"price": cents / 100}
        self._append("events", chance.randrange(len(self.sources) - 1), message)

    def _append(self, topic: str, partition: int, message: dict[str, Any]) -> None:
        log = self.sources[topic, partition]
        name = id_of(topic, partition, len(log), message.get("insert_id"))
        log.append((self.now, msgspec.json.encode(message)))
        if message["time"] <= self.now + TOLERANCE:
            self.said[topic].append({"message": message, "id": name, "appended": self.now})

    # Assignment

    def _assign_again(self) -> None:
        """A worker begins at the offsets that were promised, and takes the partitions that were added too."""
        self.gathering = Gathering(PARTITIONS, HORIZON, len(self.sources))
        self.gathering.count(len(self.sources), 0)
        self.position = dict.fromkeys(self.sources, 0) | self.promised
        for source, offset in self.position.items():
            self.gathering.begin(source, offset)

    @rule(
        sizes=st.lists(st.sampled_from([1, 3, 50]), max_size=6),
        count=st.booleans(),
        cut=st.booleans(),
        fold=st.booleans(),
        look=st.booleans(),
    )
    def work(self, sizes: list[int], count: bool, cut: bool, fold: bool, look: bool) -> None:
        """Assignment reads slices and sends what it gathered, or gathers on; aggregation folds what was sent."""
        if count:
            self.gathering.count(len(self.sources), self.now)
        for number, size in enumerate(sizes):
            self._take(list(self.position)[number % len(self.position)], size)
        if cut:
            self._cut()
        for partition in self.partitions:
            if fold:
                self._fold(partition)
            if look:
                self._look(partition)

    def _take(self, source: tuple[str, int], size: int) -> None:
        begin, log = self.position[source], self.sources[source]
        some = log[begin : begin + size]
        records = appended(source, begin, some)
        for assigned in assign(records, self.history, HORIZON, TOLERANCE):
            for piece in assigned.pieces(MOST_ROWS):
                self.gathering.add(source, piece)
                if self.gathering.rows >= MOST_ROWS:
                    self._cut()
        self.position[source] = begin + len(some)
        if self.position[source] == len(log):
            state = self.history.states[self.history.index_at(self.now)]
            self.gathering.reach(source, self.now, state.offset)

    def _cut(self) -> None:
        promised, messages = self.gathering.cut()
        for number, message in enumerate(messages):
            self.units[number].append(message)
        self.promised = promised

    # Aggregation

    def _fold(self, partition: Partition) -> None:
        messages = self.units[partition.partition]
        for offset in range(partition.offset, len(messages)):
            partition.fold(offset, messages[offset], self.history.at_offset)

    def _look(self, partition: Partition) -> list[Aggregate]:
        """What a partition publishes. A run that is over has said its last word."""
        aggregates = partition.aggregates()
        for run in aggregates:
            if run.final:
                assert self.final.setdefault((run.flag, run.run, run.generation, partition.partition), run) == run
        return aggregates

    # What goes wrong

    @rule(
        what=st.sampled_from(["gathered", "promises", "grow", "zombie", "checkpoint", "crash"]),
        number=numbers,
        seed=seeds,
    )
    def trouble(self, what: str, number: int, seed: int) -> None:
        """Workers of either stage lose what they knew, or come back from the dead; a checkpoint is made in time.

        Or a partition is added to the events, of which assignment hears when it counts, and reads when it begins again.
        """
        match what:
            case "gathered":
                self._assign_again()
            case "promises":  # of what was sent some are lost too
                self.promised = {source: max(0, offset - seed % 9) for source, offset in self.promised.items()}
                self._assign_again()
            case "grow" if len(self.sources) < MOST_SOURCES:
                self.sources["events", len(self.sources) - 1] = []
            case "zombie" if self.units[number]:
                self.units[number].append(random.Random(seed).choice(self.units[number]))
            case "checkpoint":
                self.checkpoints[number] = self.partitions[number].save()
            case "crash":
                self.partitions[number] = Partition.load(self.checkpoints[number])

    # The end

    def teardown(self) -> None:
        """All partitions together are what the queries say, before the runs end and after."""
        self._finish()
        self._equal()
        for flag in FLAGS:
            if self.history.newest.flags[flag.key].status == "running":
                self._step(flag.key, lifecycle.complete)
        self.now += 24 * HOUR
        self._finish()
        self._equal()
        for partition in self.partitions:
            aggregates = self._look(partition)
            assert all(run.final for run in aggregates)
            words = sum(len(msgspec.json.encode(run)) for run in aggregates)
            assert len(partition.save()) < words + 5_000 * len(aggregates) + 10_000, (
                "a run leaves more than its last word"
            )

    def _finish(self) -> None:
        self.now += SECOND  # every version applies
        self._cut()
        self._assign_again()
        self.gathering.count(len(self.sources), self.now)
        for source in self.sources:
            self._take(source, len(self.sources[source]))
        self._cut()
        for partition in self.partitions:
            self._fold(partition)

    def _equal(self) -> None:
        runs = [run for flag in self.history.newest.flags.values() for run in flag.runs]
        aggregates = [run for partition in self.partitions for run in self._look(partition)]
        named = [msgspec.structs.replace(run, run=f"{run.flag}/{run.run}") for run in aggregates]
        expected = ORACLE.answer(self._tables(runs), self.now, HORIZON, MINUTE)
        # By position is told what came before a run is over of what it leaves out.
        completed = {f"{run.flag}/{run.key}" for run in runs if run.completed is not None}
        found, expected = (
            {each for each in rows if each[0] != "inactive" and not (each[0] == "late" and each[1] in completed)}
            for rows in (published(named), expected)
        )
        assert sorted(found - expected, key=str) == sorted(expected - found, key=str)

    def _tables(self, runs: list[RunInForce]) -> dict[str, list[tuple[Any, ...]]]:
        tables = definitions([replace(run, key=f"{run.flag}/{run.key}") for run in runs], HORIZON)
        tables["exposures"] = [row for each in self.said["exposures"] if (row := self._exposure(**each))]
        entries = [row for each in self.said["events"] if (row := self._entry(**each))]
        tables["exposures"] += entries
        facts = {fact.key: fact for run in runs for each in run.metrics.values() for fact in each.facts}
        tables["events"] = [row for each in self.said["events"] for row in self._event(facts, **each)]
        return tables

    def _exposure(self, message: dict[str, Any], id: int, appended: int) -> tuple[Any, ...] | None:  # noqa: A002
        flag = message["flag_key"]
        if unit_of(UNIT[flag], message) is None:
            return None
        run, allocation, is_open = self._in_force(flag, appended)
        if named := message.get("experiment_key"):
            of_run = [each for each in self.standing[flag] if each[0] <= appended and each[1] == named]
            (_, run, allocation, is_open) = of_run[-1]
            is_open = is_open and run == self._in_force(flag, appended)[0]
        is_forced = flag == "button" and message.get("user_id") == FORCED
        is_early = not named and message["time"] < self.started[flag, run]
        return self._row(
            flag, run, allocation, message["variant"], message, id, appended, is_early or not is_open, is_forced
        )

    def _entry(self, message: dict[str, Any], id: int, appended: int) -> tuple[Any, ...] | None:  # noqa: A002
        run, allocation, is_open = self._in_force("till", appended)
        is_entry = message["event_type"] == "view" and message["platform"] != "web" and "user_id" in message
        if not (is_entry and is_open):
            return None
        is_early = message["time"] < self.started["till", run]
        return self._row("till", run, allocation, "a", message, id, appended, is_early, False)

    def _row(self, flag, run, allocation, variant, message, name, appended, inactive, forced):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        platform = message["platform"]
        packed = {"iOS": 1, "Android": 2}.get(platform, 0) if flag == "button" else 0
        segments = ["all"]
        if flag == "button":
            segments.append(f"platform={platform if packed else '(other)'}")
        late = appended - message["time"] > HORIZON
        unit = unit_of(UNIT[flag], message)
        where = (f"{flag}/{run}", allocation, variant, unit, message["time"], name)
        return (*where, packed, segments, late, inactive, forced)

    def _event(self, facts, message, id, appended):  # type: ignore[no-untyped-def]  # noqa: A002
        cents = round(message["event_properties"]["price"] * 100) if "event_properties" in message else None
        late = appended - message["time"] > HORIZON
        if message["event_type"] == LATER.event and not self._is_heard(appended):
            return
        for key, fact in facts.items():
            if fact.event == message["event_type"] and not (fact.where and (cents is None or cents <= 2000)):
                value = cents if fact.property else 1
                for unit in (unit_of(kind, message) for kind in UNITS):
                    if unit is not None:
                        yield key, unit, message["time"], id, value or 0, late, value is None

    def _is_heard(self, appended: int) -> bool:
        """Some run that was never recounted reads what only the later metric reads."""
        catalog = self.history.states[self.history.index_at(appended)]
        its = (each for flag in catalog.flags.values() for run in flag.runs for each in run.generations)
        of_first = [each for each in its if not each.generation and LATER.key in each.metrics]
        return any(appended <= events_until(each, HORIZON) for each in of_first)


Stages.TestCase.settings = settings(max_examples=15, stateful_step_count=25, suppress_health_check=list(HealthCheck))
TestStages = Stages.TestCase
