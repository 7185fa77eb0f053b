"""The stage of plans on a real broker: other workers, restarts, people and refusals, a slice and a beat at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evaluation.catalog import lifecycle
from evaluation.catalog.in_force import FlagInForce
from evaluation.plans.acts import TakeStep
from evaluation.plans.question import Said
from evaluation.plans.upstream import Upstream
from evaluation.significance.look import decode_look, encode_look
from pipeline.catalog.topic import read_catalog
from pipeline.settings import Settings
from pipeline.stages import plans
from pipeline.stages.plans import ONLY_TELLS, PlansStage
from schemas.catalog import KINDS, Document, Flag, FlagState, Goal, Metric, Spec, Variant
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import Look
from schemas.plan import AUTHOR, Plan
from schemas.topics import HEALTH, RESULTS
from tests.pipeline.conftest import look
from tests.pipeline.shop import Shop
from tests.pipeline.slices import records

SOURCE = (RESULTS, 2)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
PLAN = "plan: {steps: [{rollout: 1, for: 1h}, {rollout: 10, for: 30d}, {rollout: 50}], on_harm: roll back}\n"
STAGED = "metrics:\n  - metric: purchase\n"


@pytest.fixture
def shop(deployment: Settings, tmp_path: Path) -> Shop:
    """A deployment whose experiment `button` runs with a plan."""
    shop = Shop(tmp_path / "documents", deployment)
    shop.rewrite("rollout: 50\n", PLAN)
    shop.rewrite("metric: purchase", "metric: purchase\n    role: primary")
    shop.apply()
    shop.call("experiment", "start", "button")
    return shop


@pytest.fixture
def feature(deployment: Settings, tmp_path: Path) -> Shop:
    """A deployment whose flag `button`, which has no metrics, runs with a plan."""
    shop = Shop(tmp_path / "documents", deployment)
    shop.rewrite("rollout: 50\n", PLAN.replace(", on_harm: roll back", ""))
    shop.rewrite(STAGED, "")
    shop.apply()
    shop.call("flag", "start", "button")
    return shop


def harm(number: int = 1) -> bytes:
    """A look by which purchases are fewer for the treatment."""
    found = decode_look(look(number, metrics=1))
    (cell, *_) = found.cells
    worse = msgspec.structs.replace(cell, metric="purchase", reading="settled", judgement="worse")
    return encode_look(msgspec.structs.replace(found, experiment="button", cells=[worse]))


def seen(at: int) -> bytes:
    """A look of that time (ms UTC) that shows nothing bad."""
    return encode_look(msgspec.structs.replace(decode_look(look(1)), experiment="button", time=at, cells=[]))


@asynccontextmanager
async def working(settings: Settings, looks: Iterable[bytes] = ()) -> AsyncIterator[PlansStage]:
    """A worker that has read these looks, which were there before."""
    stage = PlansStage(settings)
    stage.durable = lambda *_: None
    await stage.start()
    try:
        stage.begin(SOURCE, 0)
        await stage.take(SOURCE, records(RESULTS, SOURCE[1], 0, list(looks)))
        stage.reach(SOURCE, now())
        yield stage
    finally:
        await stage.stop()


def now() -> int:
    return time.time_ns() // 1_000_000


async def beat(stage: PlansStage, at: int) -> None:
    """At a time by which `results` have been read."""
    stage.reach(SOURCE, at)
    await stage.beat(at)


def written(settings: Settings) -> list[Document]:
    """The versions that plans wrote."""
    return [each.document for each in read_catalog(settings).versions if each.document.author == AUTHOR]


def in_force(settings: Settings) -> FlagInForce:
    return read_catalog(settings).newest.flags["button"]


@pytest.mark.usefixtures("shop")
def test_workers_that_are_told_of_harm_at_once_write_one_version(deployment: Settings) -> None:
    async def work() -> dict[str, int]:
        async with working(deployment) as one, working(deployment) as other:
            news = records(RESULTS, SOURCE[1], 0, [harm()])
            await asyncio.gather(one.take(SOURCE, news), other.take(SOURCE, news))
            return {what: one.counts.get(what, 0) + other.counts.get(what, 0) for what in one.counts | other.counts}

    counts = asyncio.run(work())

    (version,) = written(deployment)
    assert counts["acts"] == 1
    assert in_force(deployment).status == "rolled back"
    assert version.reason.endswith("look 1 of exp-1 at offsets 0:1")
    state = msgspec.json.decode(version.spec)
    assert state["progress"]["evidence"] | {"time": 0} == {
        "version": 3,
        "time": 0,
        "run": "exp-1",
        "look": 1,
        "alarms": ["purchase/treatment"],
    }


@pytest.mark.usefixtures("shop")
def test_a_restart_writes_nothing_again_and_acts_on_what_it_missed(deployment: Settings) -> None:
    async def work() -> None:
        for _ in range(3):
            async with working(deployment, [harm()]) as stage:
                await beat(stage, now())

    asyncio.run(work())

    assert [each.version for each in written(deployment)] == [3]


@pytest.mark.usefixtures("shop")
def test_nothing_is_asked_before_every_look_has_been_read(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            stage.begin((RESULTS, 3), 0)
            await stage.take(SOURCE, records(RESULTS, SOURCE[1], 0, [harm()]))
            await beat(stage, now())
            assert not await asyncio.to_thread(written, deployment)
            stage.reach((RESULTS, 3), now())
            await beat(stage, now())

    asyncio.run(work())

    assert len(written(deployment)) == 1


def test_a_step_waits_for_the_stages_before_it_and_is_taken_once_after_an_outage(
    shop: Shop, deployment: Settings
) -> None:
    steps = []

    async def work() -> None:
        later = now() + DAY_MS
        async with working(deployment, [seen(later)]) as stage:
            for at in range(later, later + 6_000, 1_000):
                await beat(stage, at)
            assert not await asyncio.to_thread(written, deployment)
            for name, topic in (("assignment", "events"), ("aggregation", "units"), ("significance", "aggregates")):
                partitions = [PartitionHealth(topic, 0, 1, 0, later + 5_000)]
                said = WorkerHealth(
                    stage=name, worker="a/1", started=1, cpu_seconds=1, peak_memory=1, partitions=partitions
                )
                stage._upstream.hear(later + 5_000, said)
            for at in range(later + 6_000, later + 10_000, 1_000):
                await beat(stage, at)
            steps.append(stage.counts["acts"])
        async with working(deployment, [seen(later)]) as stage:
            for at in range(later + 10_000, later + 15_000, 1_000):
                await beat(stage, at)

    asyncio.run(work())

    (version,) = written(deployment)
    assert steps == [1]
    assert version.reason.startswith("step 2 of 3 (10 %); step 1 in force for 1h, since ")
    assert shop.told("flag", "show", "button")["state"]["progress"]["step"] == 2


def test_what_workers_say_is_heard(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            said = WorkerHealth(stage="assignment", worker="a/1", started=1, cpu_seconds=1, peak_memory=1)
            async with asyncio.timeout(30):
                while not stage._upstream._spoke:  # as a worker does, again and again
                    await stage.producer.send_and_wait(deployment.topic(HEALTH), msgspec.json.encode(said))
                    await asyncio.sleep(0.1)

    asyncio.run(work())


def test_by_setting_it_says_once_what_it_would_do(
    feature: Shop, deployment: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    del feature
    telling = msgspec.structs.replace(deployment, plans="tell")

    async def work() -> dict[str, int]:
        async with working(telling) as stage:
            for second in range(3):
                await beat(stage, now() + DAY_MS + 1_000 * second)
            return stage.counts

    counts = asyncio.run(work())

    (told,) = [record.getMessage() for record in caplog.records if record.name == plans.__name__]
    assert told.startswith(
        "the plan of 'button', version 2, would take step 2 (PEEKPROOF_PLANS=tell): step 2 of 3 (10 %);"
    )
    assert counts == {"looks": 0, "acts that it would take": 1, ONLY_TELLS: 1}
    assert not written(deployment)


def test_a_plan_that_waits_is_asked_when_something_changes_or_its_moment_comes(
    feature: Shop, deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del feature
    moment, asked, ask = in_force(deployment).plan.taken + HOUR_MS, list[int](), plans.ask

    def noting(flag: FlagInForce, look: Look | None, at: int, behind: str | None) -> Said:
        asked.append(at)
        return ask(flag, look, at, behind)

    monkeypatch.setattr(plans, "ask", noting)

    async def work() -> None:
        async with working(deployment) as stage:
            for at in range(moment - 2_500, moment + 1_500, 1_000):
                await beat(stage, at)

    asyncio.run(work())

    assert asked == [moment - 2_500, moment + 500]
    assert [each.version for each in written(deployment)] == [3]


def test_a_refusal_is_told_once_and_stops_nothing(
    feature: Shop, deployment: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    del feature

    async def work() -> dict[str, int]:
        async with working(deployment) as stage:
            with monkeypatch.context() as patch:
                patch.setattr(plans, "ask", lambda *_: Said(act=TakeStep(9), reason="a rule that was lost"))
                for _ in range(3):
                    await beat(stage, now())
            await beat(stage, now() + DAY_MS)
            return stage.counts

    counts = asyncio.run(work())

    (told,) = [each.getMessage() for each in caplog.records if each.name == plans.__name__ and each.levelname != "INFO"]
    assert told.startswith("the plan of 'button', version 2, would take step 9, but it is refused: ")
    assert counts == {"looks": 0, "acts that were refused": 1, "acts": 1}


def test_who_was_faster_is_not_overridden(feature: Shop, deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plans.ask

    def ask_while_somebody_pauses(*about: Any) -> Said:
        monkeypatch.setattr(plans, "ask", asked)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(feature.call, "plan", "pause", "button").result()
        return asked(*about)

    async def work() -> dict[str, int]:
        async with working(deployment) as stage:
            monkeypatch.setattr(plans, "ask", ask_while_somebody_pauses)
            await beat(stage, now() + DAY_MS)
            return stage.counts

    counts = asyncio.run(work())

    assert not written(deployment)
    assert in_force(deployment).plan.progress.paused.why == "asked"
    assert counts["acts that others came before"] == 1


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> PlansStage:
    """A worker that reaches no broker and only tells; `basket` and `cart` run with plans whose next step is due."""
    monkeypatch.setattr(Upstream, "behind", lambda *_: None)
    stage = PlansStage(Settings(bootstrap_servers="127.0.0.1:1", plans="tell"))
    stage.durable = lambda *_: None
    for key in ("basket", "cart"):
        plan = msgspec.convert({"steps": [{"rollout": 1, "for": "1h"}, {"rollout": 50}]}, Plan)
        flag = Flag(key=key, owner="o", variants=(Variant(key="control"), Variant(key="b")), plan=plan)
        if key == "basket":
            write(stage, Metric(key="orders", owner="o", type="conversion", event="e", window="3s"), 1)
            flag = msgspec.structs.replace(flag, metrics=(Goal(metric="orders"),))
        draft = FlagState(definition=flag)
        write(stage, draft, 1)
        write(stage, lifecycle.start(draft, 2, "s"), 2)
    stage.begin(SOURCE, 0)
    return stage


def write(stage: PlansStage, spec: Spec, version: int) -> None:
    """Append a version to what the worker has read of the catalog."""
    kind, key = KINDS[type(spec)], (spec.definition if isinstance(spec, FlagState) else spec).key
    said: dict[str, Any] = {"kind": kind, "key": key, "version": version, "base": version - 1, "time": 0}
    document = Document(**said, author="a", reason="r", spec=msgspec.Raw(msgspec.json.encode(spec)))
    history = stage.catalog.history
    history.append(history.newest.offset, 0, msgspec.json.encode(document))
    assert not history.rejected, history.rejected


def test_a_plan_that_cannot_be_asked_takes_nothing_from_the_others(
    alone: PlansStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = plans.ask

    def ask_one(flag: FlagInForce, *more: Any) -> Said:
        assert flag.definition.key == "cart", "a look as nobody makes one"
        return asked(flag, *more)

    monkeypatch.setattr(plans, "ask", ask_one)
    for _ in range(2):
        asyncio.run(beat(alone, DAY_MS))

    assert alone.counts == {"plans that cannot be asked": 1, "acts that it would take": 1, ONLY_TELLS: 1}
    assert "the plan of 'basket' cannot be asked: AssertionError: a look as nobody makes one" in caplog.text


def test_a_newest_look_that_cannot_be_read_holds_the_next_step(alone: PlansStage) -> None:
    whole = msgspec.structs.replace(decode_look(look(1)), experiment="basket")
    broken = msgspec.json.decode(encode_look(msgspec.structs.replace(whole, look=2))) | {"cells": [{}]}

    asyncio.run(alone.take(SOURCE, records(RESULTS, SOURCE[1], 0, [encode_look(whole), msgspec.json.encode(broken)])))
    asyncio.run(beat(alone, DAY_MS))

    assert alone.counts["set aside: results"] == 1
    assert alone.counts["acts that it would take"] == 1  # of `cart`, whose steps rest on no look
    asyncio.run(
        alone.take(SOURCE, records(RESULTS, SOURCE[1], 2, [encode_look(msgspec.structs.replace(whole, look=3))]))
    )
    asyncio.run(beat(alone, DAY_MS))
    assert alone.counts["acts that it would take"] == 2
