"""What the tests of notifications share: a shop with an experiment, its looks and workers, and what it was told."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.notifications.plans import PlanSeen, plans_seen
from evaluation.notifications.runs import RunSeen, seen
from evaluation.notifications.telling import Situation, due
from evaluation.notifications.work import Work
from schemas.catalog import KINDS, Document, Flag, FlagState, Goal, Metric, Variant
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import ArmHealth, Cell, Health, Look, RunKey, Verdict
from schemas.notification import Notification, NotificationRule, ToldKey, Trigger, told_key

MINUTE, HOUR = 60_000, 3_600_000
START = 1_000 * HOUR  # long after 1970, when everything stands
WAY = ("assignment", "aggregation", "significance")
PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
ERRORS = Metric(key="errors", owner="shop", type="conversion", event="error", window="10s")
FLAG = Flag(
    key="checkout",
    owner="shop",
    tags=("web",),
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(
        Goal(metric="purchase", role="primary", minimum_effect=0.1),
        Goal(metric="errors", role="guardrail", direction="decrease"),
    ),
)

Step = Callable[[FlagState, int], FlagState]


def cell_of(metric: str = "purchase", reading: str = "settled", **fields: Any) -> Cell:
    """A comparison of which nothing is known yet, but for `fields`."""
    known: dict[str, Any] = {
        "metric": metric,
        "metric_version": 1,
        "variant": "treatment",
        "control": "control",
        "reading": reading,
        "segment": "all",
        "method": "sequential",
        "alternative": "two-sided",
        "status": "ok",
        "judgement": "open",
        "caveat": None,
        **dict.fromkeys(("n", "nonzero", "sum", "sum_squares", "scale"), 0),
        **dict.fromkeys(("control_n", "control_nonzero", "control_sum", "control_sum_squares"), 0),
    }
    return Cell(**known | fields)


class Shop:
    """Everything that is known, as it comes; `told` is what stands on the topic `notifications`."""

    def __init__(self, **fields: Any) -> None:
        self.history = History()
        self.work = Work(START)
        self.runs: dict[RunKey, RunSeen] = {}
        self.told: dict[ToldKey, Notification] = {}
        self.plans: dict[str, PlanSeen] = {}
        self.looks: list[tuple[int, Look]] = []
        for spec in (PURCHASE, ERRORS, FlagState(definition=msgspec.structs.replace(FLAG, **fields))):
            self.publish(spec)
        self.take(lambda state, version: start(state, version, "salt"))

    @property
    def now(self) -> int:
        return self.work.now

    def publish(self, spec: Any, author: str = "ann", reason: str = "so it is") -> None:
        newest = self.history.newest
        kind, key = KINDS[type(spec)], (spec.definition if isinstance(spec, FlagState) else spec).key
        base = newest.version_of(kind, key)
        raw = msgspec.Raw(msgspec.json.encode(spec))
        said = {"kind": kind, "key": key, "version": base + 1, "base": base, "author": author, "reason": reason}
        value = msgspec.json.encode(Document(**said, time=0, spec=raw))
        self.history.append(newest.offset, self.now, value)
        assert not self.history.rejected, self.history.rejected

    def take(self, *steps: Step, key: str = "checkout", **said: str) -> None:
        for step in steps:
            state = self.history.state_of(key)
            assert state is not None
            self.publish(step(state, self.history.newest.version_of("flag", key) + 1), **said)

    def edit(self, **fields: Any) -> None:
        self.take(
            lambda state, version: apply_definition(state, msgspec.structs.replace(state.definition, **fields), version)
        )

    def rule(self, *when: Trigger, key: str = "rule", **fields: Any) -> None:
        self.publish(NotificationRule(**{"key": key, "owner": "shop", "when": when} | fields))

    def look(self, decision: str = "keep running", run: str = "exp-1", **fields: Any) -> Look:
        """The next look, which comes now."""
        number = len(self.looks) + 1
        units = fields.pop("units", 0)
        health = {"arms": [ArmHealth("control", units // 2, 0.5), ArmHealth("treatment", units - units // 2, 0.5)]}
        found = Look(
            experiment="checkout",
            run=run,
            look=number,
            revision=0,
            time=self.now,
            catalog_version=4,
            offsets={"0": number},
            health=Health(**health | {"exposures": units} | fields.pop("health", {})),
            verdict=Verdict(decision, f"It says {decision}.", **fields.pop("verdict", {})),
            **{"cells": []} | fields,
        )
        self.looks.append((self.now, found))
        self.see(found, self.now)
        return found

    def see(self, look: Look, time: int) -> None:
        key = (look.experiment, look.run)
        self.runs[key] = seen(self.runs.get(key), look, time)

    def beat(self, *stages: str, lag: int = 0, **fields: Any) -> None:
        for stage in stages:
            started = fields.get("started", START)
            told = {"partitions": [PartitionHealth("t", 0, 0, lag)], "cpu_seconds": 0.0, "peak_memory": 0} | fields
            self.work.hear(self.now, WorkerHealth(**{"stage": stage, "worker": "a/1", "started": started} | told))

    def pass_time(self, ms: int, *stages: str, **fields: Any) -> None:
        """Time goes by, in which these stages speak once a second; somebody else does anyway."""
        for step in [1_000] * (ms // 1_000) + ([ms % 1_000] if ms % 1_000 else []):
            self.work.now += step
            self.beat(*stages, **fields)

    def situation(self) -> Situation:
        self.plans = plans_seen(self.plans, self.history.newest, self.runs, self.now)
        return Situation(history=self.history, runs=self.runs, work=self.work, plans=self.plans)

    def tell(self) -> list[Notification]:
        """What is due now, published."""
        found = due(self.situation(), self.told)
        self.told |= {told_key(each): each for each in found}
        assert due(self.situation(), self.told) == []
        return found

    def sentences(self) -> list[str]:
        return [each.sentence for each in self.tell()]


@pytest.fixture
def shop() -> Shop:
    return Shop()
