"""The demo's experiments come out as they were made: its visitors through everything that is pure, without a broker."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING
from evaluation.catalog.lifecycle import start
from evaluation.metrics.partition import Partition
from evaluation.significance.look import look
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import changes
from pipeline.demo.session import EXAMPLES, HORIZON_MS, TAG
from pipeline.demo.visitors import Visitors
from pipeline.stages.gathering import Gathering
from schemas.catalog import KINDS, Document, FlagState, Spec
from schemas.look import Cell, Look
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES

START = 1_764_000_000_000
RECORDS = 400_000
SECONDS = 20
STEP_MS = 1_000  # from look to look
WINDOW_MS = 10_000  # of every metric


def running() -> History:
    """The catalog of the demo while it runs."""
    history = History()

    def append(spec: Spec, key: str, version: int, time: int) -> None:
        raw = msgspec.Raw(msgspec.json.encode(spec))
        document = Document(
            kind=KINDS[type(spec)],
            key=key,
            version=version,
            base=version - 1,
            author="test",
            time=0,
            reason="test",
            spec=raw,
        )
        history.append(len(history.states) - 1, time - SETTLING, msgspec.json.encode(document))

    for change in changes(read_documents(EXAMPLES), history):
        append(change.spec, change.key, 1, START - 5_000)
        if isinstance(change.spec, FlagState) and TAG in change.spec.definition.tags:
            append(start(change.spec, 2, f"demo-{change.key}"), change.key, 2, START - 5_000)
    assert not history.rejected
    return history


def records(topic: str, begin: int, values: Sequence[bytes | None], time: int) -> Records:
    """A stretch of one source partition, appended at one moment."""
    length = np.array([-1 if value is None else len(value) for value in values], np.int64)
    taken = np.maximum(length, 0)
    return Records(
        topic=topic,
        partition=0,
        begin=begin,
        end=begin + len(values),
        offset=begin + np.arange(len(values)),
        append_time=np.full(len(values), time),
        start=np.cumsum(taken) - taken,
        length=length,
        data=memoryview(b"".join(value or b"" for value in values)),
    )


@pytest.fixture(scope="module")
def looks() -> dict[str, Look]:
    """The final look at each experiment."""
    history = running()
    flags = {key: flag for key, flag in history.newest.flags.items() if flag.status == "running"}
    visitors = Visitors(flags, seed=1, start=START, records_per_second=RECORDS / SECONDS, horizon_ms=HORIZON_MS)
    gathering = Gathering(1, HORIZON_MS, expected=2)
    offsets = dict.fromkeys((EXPOSURES, EVENTS), 0)
    for topic in offsets:
        gathering.begin((topic, 0), 0)
    partition = Partition(0, HORIZON_MS)
    found: dict[str, Look] = {}
    traffic_ends = START + SECONDS * 1_000
    settled = traffic_ends + HORIZON_MS + WINDOW_MS + HORIZON_MS
    for moment in [*range(START + STEP_MS, traffic_ends + 1, STEP_MS), settled]:
        for chunk in visitors.until(moment) if moment <= traffic_ends else []:
            arrived = records(chunk.topic, offsets[chunk.topic], chunk.values, moment - 1)
            offsets[chunk.topic] = arrived.end
            for assigned in assign(arrived, history, HORIZON_MS, HORIZON_MS):
                gathering.add((chunk.topic, 0), assigned)
        for topic in offsets:
            gathering.reach((topic, 0), moment, history.newest.offset)
        _, (message,) = gathering.cut()
        partition.fold(partition.offset, message, history.at_offset)
        for aggregate in partition.aggregates():
            run = flags[aggregate.flag].runs[-1]
            found[aggregate.flag] = look(run, [aggregate], found.get(aggregate.flag))
    return found


def cell(look: Look, metric: str, reading: str = "settled") -> Cell:
    return next(each for each in look.cells if (each.metric, each.reading) == (metric, reading))


def test_the_lift_is_found_and_ships_with_its_guardrail_proved_safe(looks):
    verdict = looks["checkout-button"].verdict

    assert verdict.decision == "ship"
    assert verdict.reason.startswith("treatment improves purchase: +1")
    assert "app_error is proved safe within its margin of 30%" in verdict.reason
    assert cell(looks["checkout-button"], "purchase").running_relative_lower > 0.0


def test_the_harm_is_found_and_its_guardrail_named(looks):
    verdict = looks["new-player"].verdict

    assert verdict.decision == "roll back"
    assert verdict.reason.startswith("treatment harms app_error: +")
    assert {cell(looks["new-player"], "app_error", reading).judgement for reading in ("settled", "live")} == {"harmed"}


def test_the_aa_test_is_quiet(looks):
    assert looks["ranking-aa"].verdict.decision == "keep running"
    assert {each.judgement for each in looks["ranking-aa"].cells} == {"open", None}
    assert looks["ranking-aa"].health.srm_running_p_value > 0.01


def test_the_broken_split_is_flagged(looks):
    verdict = looks["voucher-hint"].verdict

    assert verdict.decision == "needs attention"
    assert verdict.reason.startswith("The split is broken: control has ")


def test_the_flag_compares_nothing(looks):
    assert looks["dark-mode"].verdict.decision == "none"
    assert looks["dark-mode"].cells == []
    assert sum(arm.units for arm in looks["dark-mode"].health.arms) > 1_000
