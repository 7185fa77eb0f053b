"""`peekproof results` as a person uses it, on a real broker."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from pipeline.settings import Settings
from schemas.health import WorkerHealth
from schemas.look import Look, Loss
from schemas.topics import HEALTH, RESULTS
from tests.pipeline.cli.calling import call
from tests.pipeline.shop import Shop

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]


def test_results_shows_the_newest_look_and_with_json_all_of_them_as_published(
    deployment: Settings, producer: KafkaProducer, looks: Looks, tmp_path: Path
) -> None:
    empty = call(deployment, "results").stdout
    records = [*looks(1, 2), *looks(4, 4), *looks(4, 4), *looks(1, 1, run="exp-2")]
    values = [value.replace(b'"segment":"all"', b'"segment":"site=[/shop]"') for _, _, _, value in records]
    for value in values:
        producer.send(deployment.topic(RESULTS), partition=0, key=b"k", value=value)
    producer.flush()

    picture = tmp_path / "results.json"
    table = call(deployment, "results", "--plot", str(picture)).stdout
    printed = call(deployment, "results", "--json").stdout
    followed = start(["results", "--follow"], deployment)
    assert followed.stdout is not None
    lines = [followed.stdout.readline() for _ in range(2)]  # of each run the newest look alone
    ((_, _, _, next_one),) = looks(5, 5)
    producer.send(deployment.topic(RESULTS), partition=0, key=b"k", value=next_one).get()
    lines.append(followed.stdout.readline())
    followed.terminate()
    followed.wait()

    starts = ("checkout/exp-1 look 4, as of ", "checkout/exp-2 look 1, as of ", "checkout/exp-1 look 5, as of ")
    assert [line[: len(begins)] for line, begins in zip(lines, starts, strict=True)] == [*starts]
    assert all(" UTC: keep running: " in line for line in lines)
    assert empty == "there are none yet; `peekproof experiment start KEY` begins a run\n"
    assert "checkout exp-1, look 4, 400 units: keep running" in table
    assert "look 2" not in table
    drawn = json.loads(picture.read_text())["vconcat"]  # an experiment's runs, each with the newest look alone
    assert [each["data"]["values"][0]["units"] for each in drawn] == [204, 201]
    assert "site=[/shop]" in table
    assert "-0.25 to 0.5" in table  # what all looks so far say
    assert "-0.5 to 0.75" not in table
    assert printed.encode().splitlines() == [values[0], values[1], values[2], values[4]]


def test_results_tells_of_a_metric_that_says_nothing_its_status_alone(
    deployment: Settings, producer: KafkaProducer, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, _, _, value),) = looks(1, 1)
    look = msgspec.json.decode(value or b"", type=Look)
    lost, gated, *others = look.cells
    lost = msgspec.structs.replace(lost, status="unusable", unusable_share=0.042, example='"EUR 7"')
    gated = msgspec.structs.replace(gated, status="gated", variant="gated")
    loss = Loss(metric=lost.metric, events=1_000, unusable=42, scale=2, example='"EUR 7"')
    health = msgspec.structs.replace(look.health, losses=[loss])
    look = msgspec.structs.replace(look, cells=[lost, gated, *others], health=health)
    producer.send(deployment.topic(RESULTS), partition=0, key=b"k", value=msgspec.json.encode(look)).get()

    for width in ("200", "60"):
        monkeypatch.setenv("COLUMNS", width)
        table = call(deployment, "results").stdout

        assert '42 of 1,000 events hold no number that can be used (such as "EUR 7")' in " ".join(table.split())
        for status in ("unusable", "gated"):
            (row,) = (line for line in table.splitlines() if f"{status} " in line)
            assert "0.125" not in row  # its p
            assert "-0.25" not in row
        assert "0.1 " not in next(line for line in table.splitlines() if "unusable " in line)


def test_results_says_of_a_run_without_a_look_what_it_waits_for(
    deployment: Settings, producer: KafkaProducer, looks: Looks, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "configs", deployment)
    shop.apply()
    assert "there are none yet" in shop.call("results").stdout  # it is a draft
    shop.call("experiment", "start", "button")

    nobody = shop.call("results").stdout
    followed = start(["results", "--follow"], deployment)
    assert followed.stdout is not None
    line = followed.stdout.readline()
    followed.terminate()
    followed.wait()
    with beating(deployment, producer, "assignment", "aggregation", "significance"):
        working = shop.call("results").stdout
        json_alone = shop.call("results", "--json")
    (_, _, _, value), *_ = looks(1, 1)
    producer.send(deployment.topic(RESULTS), value.replace(b'"checkout"', b'"button"'), b"button/exp-1").get()

    without = "button/exp-1 runs, and has no look yet: "
    assert nobody.startswith(f"{without}nobody works on assignment, aggregation, significance; `peekproof up` starts")
    assert line == nobody
    assert working == f"{without}the first one follows as soon as the stages have read its start\n"
    assert (json_alone.stdout, json_alone.stderr) == ("", working)
    shown = shop.call("results")
    assert without not in shown.stdout
    assert shown.stderr.startswith("looks are as of ")
    assert shown.stderr.endswith(
        ", and others wait: nobody works on assignment, nobody works on aggregation, nobody works on significance\n"
    )
    assert shop.call("results", "--json").stderr == ""


@contextmanager
def beating(settings: Settings, producer: KafkaProducer, *stages: str) -> Iterator[None]:
    """Somebody works on these stages, by what is said on `health`."""
    stopping = threading.Event()

    def beat() -> None:
        while not stopping.wait(0.2):
            for stage in stages:
                said = WorkerHealth(stage=stage, worker="a/1", started=1, cpu_seconds=1, peak_memory=1)
                producer.send(settings.topic(HEALTH), msgspec.json.encode(said), stage.encode())

    beats = threading.Thread(target=beat)
    beats.start()
    yield
    stopping.set()
    beats.join()


def start(arguments: list[str], settings: Settings) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.Popen(command, env=os.environ | settings.environment(), stdout=subprocess.PIPE, text=True)
