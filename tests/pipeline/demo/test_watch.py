"""Watch and view: what was seen is counted once, freshness is what a stopwatch says, the picture fits its terminal."""

import io
import pickle
import webbrowser
from collections import Counter
from math import ceil, inf
from queue import SimpleQueue
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from rich.console import Console

from evaluation.catalog.in_force import FlagInForce, MetricInForce, RunInForce
from evaluation.catalog.overview import Told
from pipeline.catalog.documents import read_documents
from pipeline.cli.demo import pictures
from pipeline.demo.progress import Batch, TrafficProgress
from pipeline.demo.session import EXAMPLES, TAG, DemoMoment
from pipeline.demo.view import DemoView, lines
from pipeline.demo.watch import DemoWatch
from schemas.catalog import Allocation
from schemas.dead_letter import DeadLetter, to_headers
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import ArmHealth, Cell, Health, Look, Verdict

MOMENT = DemoMoment(phase="live traffic", elapsed=30, seconds=60)


@pytest.fixture
def watch() -> DemoWatch:
    """A watch of the example experiments that has seen nothing yet."""
    documents = read_documents(EXAMPLES)
    metrics = {key: MetricInForce(source.definition, 1, 0) for key, source in documents.metrics.items()}
    flags = {}
    for key, source in documents.flags.items():
        definition = source.definition
        if TAG not in definition.tags:
            continue
        weights = {variant.key: variant.weight for variant in definition.variants}
        allocation = Allocation(flag_version=2, rollout=definition.rollout, weights=weights)
        its = {goal.metric: metrics[goal.metric] for goal in definition.metrics}
        run = RunInForce(key, "exp-1", "salt", (allocation,), 0, None, {}, definition, its)
        flags[key] = FlagInForce(definition, "running", 2, 0, (run,))
    return DemoWatch(flags, "shop.orders")


def cell(reading: str, lift: float | None, half: float, status: str = "ok", metric: str = "purchase") -> Cell:
    """A conversion of 10 % in control; the interval reaches `half` to both sides of the lift."""
    known = {}
    if lift is not None:
        known = {
            "mean": 0.1 * (1 + lift),
            "control_mean": 0.1,
            "relative_estimate": lift,
            "relative_lower": lift - 2 * half,  # of this look alone
            "relative_upper": lift + 2 * half,
            "running_relative_lower": lift - half,
            "running_relative_upper": lift + half,
            "running_lower": 0.1 * (lift - half),
            "running_upper": 0.1 * (lift + half),
            "running_p_value": 0.001,
        }
    return Cell(
        metric=metric,
        metric_version=1,
        variant="treatment",
        control="control",
        reading=reading,
        segment="all",
        method="sequential",
        alternative="two-sided",
        status=status,
        judgement=None,
        caveat=None,
        n=1_000,
        nonzero=100,
        sum=100,
        sum_squares=100,
        control_n=1_000,
        control_nonzero=100,
        control_sum=100,
        control_sum_squares=100,
        scale=0,
        alpha=0.05,
        **known,
    )


def record(value: object, timestamp: int = 0, headers: list | None = None) -> SimpleNamespace:
    """What a consumer gives, as far as a watch reads it."""
    return SimpleNamespace(value=msgspec.json.encode(value), timestamp=timestamp, headers=headers or [])


def look(number: int, time: int = 0, cells: list[Cell] | None = None, **more: object) -> Look:
    return Look(
        experiment="checkout-button",
        run="exp-1",
        look=number,
        revision=0,
        time=time,
        catalog_version=1,
        offsets={},
        health=Health(arms=[ArmHealth("control", 1_000, 0.5)], duplicate_events=5, late_events=2, late_exposures=1),
        verdict=Verdict("ship", "treatment improves purchase"),
        cells=cells or [],
        **more,
    )


def progress(*batches: Batch) -> TrafficProgress:
    return TrafficProgress(acknowledged={"events": sum(batch.records for batch in batches)}, batches=list(batches))


def picture(watch: DemoWatch, width: int, height: int = 60) -> str:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(DemoView(watch, MOMENT))
    return captured.get()


def test_freshness_is_the_time_from_produced_to_the_first_look_that_has_passed_the_append_time(watch):
    watch.take_progress(progress(Batch(1_000, 1_010, 98), Batch(2_000, 2_500, 1), Batch(2_900, 3_000, 1)))

    watch.take_look(record(look(1, time=1_005), timestamp=1_300))  # contains none of them
    watch.take_look(record(look(2, time=2_500), timestamp=3_000))  # contains the first; maybe not all of the second
    watch.take_look(record(look(3, time=2_501), timestamp=4_000))

    freshness = watch.freshness()
    assert (freshness.p50, freshness.p90, freshness.worst) == (2.0, 2.0, 2.0)
    assert (freshness.samples, freshness.missing) == (99, 1)

    watch.take_look(record(look(4, time=9_000), timestamp=9_500))
    freshness = watch.freshness()
    assert (freshness.p90, freshness.p99, freshness.worst) == (2.0, 2.0, 6.6)
    assert (freshness.samples, freshness.missing) == (100, 0)


def test_freshness_of_a_long_demo_is_exact_and_needs_no_more_memory_than_of_a_short_one(watch):
    random = np.random.default_rng(1)
    reported, looks, sizes = [], {key: [] for key in watch.experiments}, []
    for second in range(320):
        begin = 1_000 * (second + 2)
        batches = [
            Batch(produced, produced + int(random.integers(1, 900)), int(random.integers(1, 100)))
            for produced in sorted(random.integers(begin - 1_500, begin, 15).tolist())
        ]
        for key, its in looks.items():
            time, published = begin - int(random.integers(100, 900)), begin + int(random.integers(0, 900))
            its.append((time, published))
            newest = msgspec.structs.replace(look(len(its), time=time), experiment=key)
            watch.take_look(record(newest, timestamp=published))
        watch.take_progress(progress(*batches))
        reported += batches
        if second % 80 == 79:
            sizes.append(len(pickle.dumps({**vars(watch), "flags": None})))

    waits = []
    for batch in reported:
        for its in looks.values():
            passed = [published for time, published in its if time > batch.appended]
            waits += [(passed[0] - batch.produced) / 1_000 if passed else inf] * batch.records
    waits.sort()
    seen = waits[: waits.index(inf)]
    freshness = watch.freshness()
    assert (freshness.samples, freshness.missing) == (len(seen), len(waits) - len(seen))
    shares = (freshness.p50, freshness.p90, freshness.p99, freshness.worst)
    assert shares == tuple(seen[ceil(len(seen) * share) - 1] for share in (0.5, 0.9, 0.99, 1))
    assert watch.sending_seconds == (max(b.appended for b in reported) - min(b.produced for b in reported)) / 1_000
    assert max(sizes) < 1.5 * sizes[0]


def test_there_is_no_freshness_before_a_look_contains_something(watch):
    assert watch.freshness() is None

    watch.take_progress(progress(Batch(1_000, 1_010, 5)))
    watch.take_look(record(look(1, time=1_000), timestamp=1_500))

    assert watch.freshness() is None


def test_a_look_that_is_not_newer_than_the_last_one_is_no_look(watch):
    watch.take_look(record(look(1, time=10)))
    watch.take_look(record(look(3, time=30)))
    watch.take_look(record(look(3, time=40)))

    assert watch.looks["checkout-button"].time == 30


def test_repeated_dead_letters_and_answers_count_once(watch):
    dead_letter = DeadLetter(
        reason="not json", detail="", topic="events", partition=1, offset=7, append_time=1, value=b"{"
    )
    answer = {"flag_key": "dark-mode", "variant": "dim", "reason": "segment", "time": 1, "origin": "exposures/0/3"}

    for _ in range(2):
        watch.take_dead_letter(record(None, headers=to_headers(dead_letter)))
        watch.take_answer(record(answer))

    watch.take_dead_letter(record(None, headers=to_headers(msgspec.structs.replace(dead_letter, source="orders"))))

    assert watch.dead_letters == Counter({"not json": 2})
    assert watch.answers == {"dark-mode": Counter({"dim": 1})}


def test_counted_is_what_assignment_has_read_whoever_of_its_workers_read_it(watch):
    def beat(worker: str, stage: str, *partitions: PartitionHealth) -> None:
        watch.take_health(
            record(
                WorkerHealth(
                    stage=stage, worker=worker, started=0, cpu_seconds=0, peak_memory=0, partitions=list(partitions)
                )
            )
        )

    beat("a", "assignment", PartitionHealth("events", 0, 10, 5), PartitionHealth("events", 1, 20, 0))
    beat("b", "assignment", PartitionHealth("events", 0, 15, 1))
    beat("c", "archive", PartitionHealth("events", 0, 99, 9))
    beat("d", "assignment", PartitionHealth("@shop.orders", 0, 7, 0))

    assert watch.counted == 42
    assert watch.lag == 1
    assert watch.ready == {"assignment", "archive"}


def test_the_picture_tells_what_the_source_makes_of_the_orders(watch):
    counts = {"source shop-orders: taken": 1_200, "source shop-orders: excluded": 1_300}
    watch.take_health(
        record(WorkerHealth(stage="assignment", worker="a", started=0, cpu_seconds=0, peak_memory=0, counts=counts))
    )

    told = "1,200 paid orders are purchases · 1,300 are not paid yet · 0 dead letters"
    assert told in picture(watch, 130)
    assert any(told in line for line in lines(watch, MOMENT))


def test_a_demo_has_arrived_when_everything_was_read_and_every_run_is_final(watch):
    watch.take_progress(progress(Batch(1, 2, 3)))
    assert not watch.has_arrived()

    for experiment in watch.experiments:
        watch.take_look(record(msgspec.structs.replace(look(1, final=True), experiment=experiment)))
    assert watch.unfinished() == []
    assert not watch.has_arrived()

    partitions = [PartitionHealth("events", 0, 3, 0)]
    health = WorkerHealth(
        stage="assignment", worker="a", started=0, cpu_seconds=0, peak_memory=0, partitions=partitions
    )
    watch.take_health(record(health))
    assert watch.has_arrived()


def test_the_bar_shows_where_zero_lies(watch):
    watch.take_look(record(look(1, cells=[cell("settled", 0.15, 0.05)])))
    row = next(line for line in picture(watch, 110).splitlines() if "purchase" in line and "10.00 %" in line)

    assert row.index("│") < row.index("━") < row.index("●") < row.rindex("━")
    assert "[+10.0%, +20.0%]" in row
    assert "2,000 settled" in row

    watch.take_look(record(look(2, cells=[cell("settled", 0.0, 2.0)])))
    row = next(line for line in picture(watch, 110).splitlines() if "purchase" in line and "10.00 %" in line)
    assert "◀" in row
    assert "▶" in row
    assert "│" not in row


def test_the_live_reading_is_shown_until_the_settled_one_can_be_tested(watch):
    live, gated = cell("live", 0.3, 0.2), cell("settled", None, 0, status="gated")

    watch.take_look(record(look(1, cells=[gated, live])))
    assert "2,000 live" in picture(watch, 110)

    watch.take_look(record(look(2, cells=[cell("settled", 0.1, 0.2), live])))
    assert "2,000 live" not in picture(watch, 110)


@pytest.mark.parametrize("width", [80, 110, 160])
@pytest.mark.parametrize("height", [24, 60])
def test_the_picture_fits_the_terminal(watch, width, height):
    watch.take_look(record(look(1, cells=[cell("settled", 0.15, 1.5), cell("live", 0.1, 0.1, metric="revenue")])))
    watch.take_answer(
        record({"flag_key": "dark-mode", "variant": "dim", "reason": "segment", "time": 1, "origin": "exposures/0/3"})
    )

    drawn = picture(watch, width, height).splitlines()

    assert max(map(len, drawn)) <= width
    assert len(drawn) <= height
    assert all(any(key in line for line in drawn) for key in watch.flags)
    assert "…" not in "".join(line for line in drawn if "●" in line)


def test_the_mean_of_a_funnel_is_the_share_that_went_through(watch):
    metrics = watch.flags["checkout-button"].runs[-1].metrics
    metrics["purchase"] = MetricInForce(msgspec.structs.replace(metrics["purchase"].definition, type="funnel"), 1, 0)

    watch.take_look(record(look(1, cells=[cell("settled", 0.15, 0.05)])))

    assert "purchase 10.00 % → 11.50 %" in [*lines(watch, MOMENT)][2]


def test_plain_lines_say_the_same_for_each_experiment(watch):
    watch.take_look(record(look(1, cells=[cell("settled", 0.15, 0.05)])))

    said = list(lines(watch, MOMENT))

    assert said[0].startswith("0:30 live traffic: ")
    assert said[1].startswith("  source shop-orders, ")
    assert said[2].startswith("  checkout-button: ship · purchase 10.00 % → 11.50 % +15.0% [+10.0%, +20.0%]")
    waiting = ("new-player", "ranking-aa", "voucher-hint")
    assert said[3:] == [*(f"  {key}: no look yet" for key in waiting), said[-1]]


def test_a_flag_whose_state_changed_says_so_where_it_stands(watch):
    version = Told(
        version=3,
        base=2,
        offset=9,
        append_time=1,
        time=1,
        author="ann",
        reason="everybody likes it",
        changed=("exp-1 is complete", "dim is rolled out"),
    )
    watch.history["dark-mode"] = [version]

    assert list(lines(watch, MOMENT))[-1].endswith(
        "answered: waiting  exp-1 is complete, dim is rolled out in version 3: everybody likes it"
    )


def test_the_console_opens_once_there_is_something_to_see(watch: DemoWatch, monkeypatch: pytest.MonkeyPatch):
    opened = SimpleQueue[str]()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", opened.put)

    with pictures(Console(file=io.StringIO())) as show:
        show(watch, DemoMoment(phase="the workers are starting", elapsed=0, seconds=60, console="http://too-early"))
        watch.take_look(record(look(1)))
        for _ in range(2):
            show(watch, DemoMoment(phase="live traffic", elapsed=1, seconds=60, console="http://127.0.0.1:8080"))

    assert opened.get(timeout=10) == "http://127.0.0.1:8080"
    assert opened.empty()
