"""Results over HTTP: as they are on the topic, by number, over time, and as they come."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import ConsumerRecord
from kafka import KafkaProducer

from evaluation.significance.look import decode_look, encode_look
from pipeline.http.callers.keys import Keys
from pipeline.http.questions.readers import Readers
from pipeline.http.results.looks import Looks
from pipeline.http.results.past_looks import PastLooks
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.follower import Follower
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from pipeline.storage.archive import Archive
from schemas.fields import fields
from schemas.look import RUNNING, Cell
from schemas.topics import RESULTS
from tests.conftest import deployed
from tests.live import wait_for
from tests.pipeline.conftest import look
from tests.pipeline.http.server import serving
from tests.pipeline.shop import Shop
from tests.pipeline.slices import records

ONE = {"metric": "metric-0", "variant": "treatment", "reading": "live"}


class Results:
    """A server that wants keys, over an experiment that runs, with forty looks."""

    def __init__(self, settings: Settings, address: str, shop: Shop) -> None:
        self.settings, self.shop = settings, shop
        _, viewer = Keys(settings.data).create("viewer", "ann")
        self.client = httpx.Client(base_url=address, headers={"authorization": f"Bearer {viewer}"}, timeout=20)

    def get(self, path: str, code: int = 200, **query: Any) -> httpx.Response:
        answer = self.client.get(f"/api/1/{path}", params=query)
        assert answer.status_code == code, answer.text
        return answer


def publish(settings: Settings, first: int, last: int, run: str = "exp-1") -> None:
    producer = KafkaProducer(**kafka_python_arguments(settings))
    for number in range(first, last + 1):
        value = look(number, run).replace(b'"checkout"', b'"button"')
        producer.send(settings.topic(RESULTS), value, key=f"button/{run}".encode())
    producer.close()


@pytest.fixture(scope="module")
def results(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    directory = tmp_path_factory.mktemp("shop")
    with deployed(broker, directory / "data") as settings:
        shop = Shop(directory / "configs", settings)
        shop.apply()
        shop.call("experiment", "start", "button")
        shop.call("flag", "create", "banner", "--owner", "ann")
        publish(settings, 1, 40)
        with serving(settings, is_open=False) as server:
            yield Results(settings, server.address, shop)


def test_the_newest_look_and_any_other_come_byte_for_byte(results: Results):
    def published(number: int) -> bytes:
        return look(number).replace(b'"checkout"', b'"button"')

    assert results.get("experiments/button/results").content == published(40)
    assert results.get("experiments/button/results", run="exp-1").content == published(40)
    began = time.monotonic()
    for number in range(40, 0, -1):
        assert results.get(f"experiments/button/results/looks/{number}").content == published(number)
    assert time.monotonic() - began < 10  # a broker lets a reader at the end of a topic wait for half a second


def test_what_is_not_there_is_said(results: Results):
    assert "'banner' is a flag without metrics" in results.get("experiments/banner/results", 404).json()["error"]
    assert "did you mean 'button'" in results.get("experiments/buton/results", 404).json()["error"]
    assert "'button' has no run 'exp-7'" in results.get("experiments/button/results", 404, run="exp-7").json()["error"]
    assert (
        "look 41 of button/exp-1 is not there"
        in results.get("experiments/button/results/looks/41", 404).json()["error"]
    )
    missing = results.get("experiments/button/results/history", 404, **ONE | {"metric": "x"}).json()["error"]
    assert "no cell of metric 'x'" in missing
    assert "'baner' is no flag" in results.get("overview/baner", 404).json()["error"]
    assert "'baner' is no flag" in results.get("results/stream", 404, experiment="baner").json()["error"]
    assert results.get("experiments/button/results/looks/x", 404).json()["error"]
    assert results.get("experiments/button/results/history", 400).json()["error"]


def test_a_run_without_a_look_says_what_it_waits_for(tmp_path: Path, deployment: Settings):
    shop = Shop(tmp_path / "configs", deployment)
    shop.apply()
    with serving(deployment, is_open=False) as server:
        results = Results(deployment, server.address, shop)
        draft = results.get("experiments/button/results", 404).json()["error"]
        shop.call("experiment", "start", "button")
        wait_for(lambda: results.get("overview/button").json()["status"] == "running")
        for path in ("results", "results.csv", "results/looks/1"):
            assert "nobody works on assignment" in results.get(f"experiments/button/{path}", 404).json()["error"]
        started = results.get("overview/button").json()
        shop.call("experiment", "complete", "button")
        wait_for(lambda: results.get("overview/button").json()["status"] == "complete")
        completed = results.get("overview/button").json()

    assert "by `peekproof experiment start button`" in draft
    assert started["look"] is None
    assert started["awaited"].startswith("button/exp-1 runs, and has no look yet: nobody works on assignment")
    assert completed["awaited"].startswith("button/exp-1 is over, and has no look yet")


def test_files_and_histories_have_just_the_fields_of_a_cell(results: Results):
    header = next(csv.reader(io.StringIO(results.get("experiments/button/results.csv").text)))
    history = results.get("experiments/button/results/history", **ONE).json()

    twice = {name: f"look_{name}" for name in RUNNING} | {f"running_{name}": name for name in RUNNING}
    twice |= {f"other_running_{name}": f"other_{name}" for name in RUNNING}
    assert header[:4] == ["experiment", "run", "look", "time"]
    assert sorted(header[4:]) == sorted(twice.get(name, name) for name in fields(Cell))
    assert [*history] == ["look", "time", *(name for name, field in fields(Cell).items() if field.is_followed)]


def test_a_history_is_columns_over_the_looks(results: Results):
    columns = results.get("experiments/button/results/history", **ONE).json()

    assert columns["look"] == [*range(1, 41)]
    assert columns["n"] == [100 + number for number in range(1, 41)]
    assert columns["time"][0] == 1_700_000_000_001
    assert set(map(len, columns.values())) == {40}


def test_a_table_has_a_line_for_each_cell(results: Results):
    answer = results.get("experiments/button/results.csv")

    assert answer.headers["content-type"].startswith("text/csv")
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert [(row["metric"], row["variant"]) for row in rows][:2] == [("metric-0", "treatment"), ("metric-0", "other")]
    assert {(row["look"], row["n"], row["relative_lower"]) for row in rows} == {("40", "140", "")}
    older = csv.DictReader(io.StringIO(results.get("experiments/button/results.csv", look=17).text))
    assert {(row["look"], row["n"]) for row in older} == {("17", "117")}


def test_n13_a_table_calls_the_running_interval_the_interval(results: Results):
    rows = csv.DictReader(io.StringIO(results.get("experiments/button/results.csv").text))

    names = ("lower", "upper", "p_value", "relative_upper", "look_lower", "look_p_value", "look_relative_upper")
    assert {tuple(row[name] for name in names) for row in rows} == {
        ("-0.25", "0.5", "0.125", "1.5", "-0.5", "0.25", "1.75")
    }
    assert not [name for name in rows.fieldnames or () if name.startswith("running_") and name != "running_empty"]


def test_the_overview_tells_where_every_flag_stands(results: Results):
    told = results.get("overview").json()

    assert [flag["key"] for flag in told["flags"]] == ["banner", "button"]
    assert [flag["status"] for flag in told["flags"]] == ["draft", "running"]
    assert told["flags"][0]["look"] is None
    newest = told["flags"][1]["look"]
    assert (newest["look"], newest["units"], newest["verdict"]["decision"]) == (40, 400, "keep running")
    assert 0 <= told["time"] - newest["published"] < 60_000
    shown = results.get("overview/button").json()
    assert shown["metrics"]["purchase"]["type"] == "conversion"
    assert shown["state"]["definition"]["rollout"] == 50


def test_a_stream_brings_the_newest_look_and_those_that_come_until_its_key_is_revoked(results: Results):
    def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
        for line in lines:
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    keys = Keys(results.settings.data)
    key, text = keys.create("viewer", "eve")
    eve = {"authorization": f"Bearer {text}"}
    with results.client.stream("GET", "/api/1/results/stream?experiment=button", headers=eve) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        coming = events(answer.iter_lines())
        assert next(coming)["look"] == 40
        publish(results.settings, 1, 1, run="exp-2")
        began = time.monotonic()
        arrived = next(coming)
        assert time.monotonic() - began < 3
        keys.revoke(key.id)
        publish(results.settings, 2, 3, run="exp-2")
        assert next(coming, None) is None

    assert (arrived["run"], arrived["look"]) == ("exp-2", 1)
    assert results.get("experiments/button/results").json()["run"] == "exp-2"


def test_a_decision_is_told_with_the_look_that_was_the_newest_then(results: Results, monkeypatch: pytest.MonkeyPatch):
    shop, before = results.shop, results.get("overview/button").json()
    shop.call("experiment", "restart", "button", "--reason", "a fresh split", "--yes")
    publish(results.settings, 41, 55)
    publish(results.settings, 4, 6, run="exp-2")
    wait_for(lambda: results.get("overview/button").json()["look"]["look"] == 6)
    shop.call("experiment", "rollout", "button", "treatment", "--reason", "<b>won</b>", "--yes")
    publish(results.settings, 7, 7, run="exp-2")
    wait_for(lambda: results.get("overview/button").json()["status"] == "rolled out")

    first, last = results.get("overview/button").json()["decisions"]
    assert (before["decisions"], before["decided"]) == ([], None)
    assert (first["step"], first["run"], first["look"], first["reason"]) == ("restart", "exp-1", 40, "a fresh split")
    assert first["verdict"]["decision"] == "keep running"
    assert (last["step"], last["variant"], last["run"], last["look"]) == ("rollout", "treatment", "exp-2", 6)
    assert (last["no_look"], last["by_plan"]) == (None, False)
    listed = results.get("overview").json()["flags"][1]
    assert (listed["decided"]["step"], listed["decided"]["version"]) == ("rollout", last["version"])

    monkeypatch.setattr("pipeline.http.results.looks.MOST_MARKS", 4)  # as of a run that is long
    found, published = asyncio.run(newest_at_each_time(results.settings))
    assert found == published


async def newest_at_each_time(settings: Settings) -> tuple[list[int], list[int]]:
    """Of the first run, by a server that starts now: which look is found to be the newest at each time, and which was.

    Several may have been published within a millisecond.
    """
    archive, times = Archive(settings.data / "archive", 3_600_000), dict[int, int]()
    before, after = Readers(), Readers()  # what one has answered it keeps
    looks, past, past_too = Looks(), PastLooks(settings, before), PastLooks(settings, after)

    def read(record: ConsumerRecord) -> None:
        looks.read(record)
        archive.append(records(RESULTS, record.partition, record.offset, [record.value], record.timestamp))
        if record.key == b"button/exp-1":
            times[record.timestamp] = looks.runs["button", "exp-1"].head.look

    follower = Follower(settings, RESULTS, read, SetAside())
    await asyncio.gather(follower.start(), past.start(), past_too.start())
    kept = looks.runs["button", "exp-1"]
    assert len(kept.marks) <= 4
    earlier = await past.newest_at(kept, min(times) - 1, "ann")
    found = [await past.newest_at(kept, time, "ann") for time in times]
    kept.marks = [mark for mark in kept.marks if mark.look > 20]  # compaction has left these
    assert await past.newest_at(kept, min(times), "ann") is None
    assert await past.look(kept, 3, "ann") is None
    archive.advance(RESULTS, kept.partition, kept.published + 3_600_000)
    then, third = await past_too.newest_at(kept, min(times), "ann"), await past_too.look(kept, 3, "ann")
    assert then is not None
    assert then.number == times[min(times)]
    assert third == look(3, "exp-1").replace(b'"checkout"', b'"button"')
    await asyncio.gather(follower.stop(), *(each.stop() for each in (past, past_too, before, after)))
    assert earlier == (0, None)
    return [each.number for each in found], [*times.values()]


def test_a_reader_without_a_key_is_turned_away(results: Results):
    for path in ("overview", "experiments/button/results", "results/stream"):
        answer = httpx.get(f"{results.client.base_url}/api/1/{path}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_what_shipped_while_a_holdout_is_measured_is_told_by_api_and_command(tmp_path: Path, deployment: Settings):
    shop = Shop(tmp_path / "configs", deployment)
    shop.rewrite("rollout: 50\n", "groups: [{ group: out }]\n")
    shop.rewrite("  - metric: purchase", "  - metric: metric-0")
    for folder, name, text in (
        ("groups", "out", "key: out\nowner: shop\ntype: holdout\nslots: [{ percentage: 2 }]\n"),
        ("metrics", "zero", "key: metric-0\nowner: shop\ntype: count\nevent: purchase\nwindow: none\n"),
        (
            "experiments",
            "measured",
            "key: measured\nowner: shop\nholdout: out\nexposure_event: { event: visit }\n"
            "metrics: [{ metric: metric-0 }]\n"
            "variants: [{ key: holdout, weight: 2 }, { key: on, weight: 98 }]\n",
        ),
    ):
        (shop.directory / folder).mkdir(exist_ok=True)
        (shop.directory / folder / f"{name}.yaml").write_text(text)
    shop.apply()
    shop.call("experiment", "start", "measured")
    shop.call("experiment", "start", "button")
    producer = KafkaProducer(**kafka_python_arguments(deployment))
    known = decode_look(look(1).replace(b'"checkout"', b'"button"'))
    lift = {"relative_estimate": 0.25, "running_relative_lower": 0.2, "running_relative_upper": 0.3}
    cells = [msgspec.structs.replace(cell, **lift) for cell in known.cells]
    value = encode_look(msgspec.structs.replace(known, cells=cells))
    producer.send(deployment.topic(RESULTS), value, key=b"button/exp-1")
    producer.close()
    shop.call("experiment", "rollout", "button", "treatment", "--yes")
    with serving(deployment, is_open=False) as server:
        results = Results(deployment, server.address, shop)
        wait_for(lambda: results.get("overview/button").json()["look"])
        (told,) = results.get("experiments/measured/shipped").json()
        refused = results.get("experiments/button/shipped", 404).json()["error"]

    assert told == shop.told("experiment", "shipped", "measured")[0]
    (change,) = told["changes"]
    assert (change["flag"], change["variant"], change["lift"]["estimate"]) == ("button", "treatment", 0.25)
    assert (told["total"]["estimate"], told["measured"]) == (0.25, None)
    assert told["says"].startswith("metric-0: 1 shipped, together +25.0% [")
    assert "measures no holdout" in refused
    assert "metric-0: 1 shipped" in shop.call("experiment", "shipped", "measured").output
