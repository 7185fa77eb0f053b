"""A replay of a log that the pure stages made: every look comes out the same, or it is said what differs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evaluation.catalog.history import History
from evaluation.catalog.in_force import Fact
from evaluation.metrics.partition import Partition
from evaluation.significance.look import encode_look, look
from pipeline.errors import PeekproofError
from pipeline.offline.replay import OffsetsNeeded, Replay, first_difference
from pipeline.storage.archive import REPLACED_KEPT, Archive
from pipeline.storage.archived import chain
from schemas.catalog import Allocation, Document, Flag, FlagState, Goal, Metric, Run, Variant
from schemas.logs import Gap, Log, Logs
from schemas.look import RULES, Look
from schemas.units import ROWS, Arm, Header, RowKind, Source, encode_units
from tests.pipeline.slices import records

HORIZON = 5_000
PARTITIONS = 3
FLAGS = ("checkout", "banner")
RULES_1 = Path(__file__).parents[2] / "vectors" / "archive-of-rules-1"  # made by `make` below, of that version


def document(kind: str, key: str, spec: object) -> bytes:
    raw = msgspec.Raw(msgspec.json.encode(spec))
    return msgspec.json.encode(
        Document(kind=kind, key=key, version=1, base=0, author="a", time=1, reason="r", spec=raw)
    )


def documents() -> list[bytes]:
    purchases = Metric(key="purchases", owner="a", type="conversion", event="buy", window="3s")
    revenue = Metric(key="revenue", owner="a", type="sum", event="buy", property="price", window="3s")
    made = [document("metric", metric.key, metric) for metric in (purchases, revenue)]
    for key in FLAGS:
        flag = Flag(
            key=key,
            owner="a",
            variants=(Variant(key="control"), Variant(key="treatment")),
            metrics=(Goal(metric="purchases", role="primary"), Goal(metric="revenue")),
        )
        weights = {"control": 1, "treatment": 1}
        allocation = Allocation(flag_version=1, rollout=100, weights=weights)
        run = Run(key="exp-1", salt="s", started=1, allocations=(allocation,))
        made.append(document("flag", key, FlagState(definition=flag, status="running", runs=(run,))))
    return made


@dataclass
class Made:
    """A pipeline of pure functions with its archive."""

    directory: Path
    history: History = field(default_factory=History)
    looks: list[Look] = field(default_factory=list)
    published: int = 0


def make(
    directory: Path,
    seconds: int = 40,
    change: Callable[[int, bytes], bytes | None] = lambda _, value: value,
    gaps: tuple[Gap, ...] = (),
    fell: int = 0,
) -> Made:
    """`seconds` of traffic, a message a second and partition; looks of both flags at offsets of their own.

    Of partitions with a gap the state that had folded `fell` messages is lost but for its checkpoint, where the gap
    begins, and the log that was left begins behind the gap.
    """
    made = Made(directory)
    archive = Archive(directory, 10_000)
    logs = [document("logs", "logs", Logs(cluster="c", topics={"units": Log(id="u")}, gaps=gaps))] if gaps else []
    for offset, value in enumerate(documents() + logs):
        appended = offset * 1_000
        made.history.append(offset, appended, value)
        archive.append(records("catalog", 0, offset, [value], appended))
        archive.advance("catalog", 0, (offset + 1) * 10_000)  # a file for each
    random = np.random.default_rng(7)
    states = [Partition(number, HORIZON) for number in range(PARTITIONS)]
    gap_of = {gap.partition: gap for gap in gaps if gap.stage == "aggregation"}
    kept: dict[int, bytes] = {}
    last: dict[str, Look] = {}
    aggregates: dict[str, dict[int, object]] = {flag: {} for flag in FLAGS}
    for second in range(seconds):
        now = 10_000 + second * 1_000
        for number, state in enumerate(states):
            message = units(random, second, now)
            archive.append(records("units", number, second, [message], now))
            gap = gap_of.get(number)
            if gap and second == gap.begin:
                kept[number] = state.save()
            if gap and fell <= second < gap.end:
                continue
            if gap and second == gap.end:
                states[number] = Partition.load(kept[number])
                states[number].skip(gap, gap.end)
            states[number].fold(second, message, made.history.at_offset)
            for aggregate in states[number].aggregates():
                if random.random() < 0.6:  # of different runs, different offsets are seen
                    aggregates[aggregate.flag][number] = aggregate
        for flag in FLAGS:
            if len(aggregates[flag]) == PARTITIONS and random.random() < 0.7:
                run = made.history.newest.flags[flag].runs[0]
                newest = look(run, list(aggregates[flag].values()), last.get(flag))  # type: ignore[arg-type]
                value = change(len(made.looks), encode_look(newest))
                if value is not None:
                    archive.append(records("results", 0, made.published, [value], now))
                    made.published += 1
                last[flag] = msgspec.json.decode(value or encode_look(newest), type=Look)
                made.looks.append(newest)
    archive.advance("results", 0, 10**9)
    for number in range(PARTITIONS):
        archive.advance("units", number, 10_000 + seconds * 1_000 - 10_000)
    return made


def units(random: np.random.Generator, second: int, now: int) -> bytes:
    """One message with exposures and purchases of two hundred units."""
    n = 60
    kind = np.where(random.random(n) < 0.6, int(RowKind.EXPOSURE), 0).astype(np.uint8)
    unit = random.integers(1, 200, n).astype(np.uint64)
    is_exposure = kind == int(RowKind.EXPOSURE)
    arm = (unit % 2) + 2 * random.integers(0, 2, n).astype(np.uint64)
    code = np.where(is_exposure, arm, random.integers(0, 2, n)).astype(np.uint16)
    columns = {
        "source": np.zeros(n, np.uint16),
        "offset": second * 100 + np.arange(n),
        "kind": kind,
        "code": code,
        "unit": unit,
        "time": now - random.integers(0, 2_000, n),
        "id": random.integers(1, 2**40, n).astype(np.uint64),
        "value": np.where(is_exposure, 0, np.where(code == 0, 1, random.integers(0, 10_000, n))),
    }
    header = Header(
        catalog=4,
        horizon=HORIZON,
        expected=1,
        sources=[Source("events", 0, second * 100, second * 100 + 100, now)],
        arms=[Arm(flag, "exp-1", 0, variant) for flag in FLAGS for variant in ("control", "treatment")],
        facts=[Fact("buy", None, 0).key, Fact("buy", "price", 2).key],
    )
    assert set(columns) == set(ROWS.names)
    return encode_units({name: np.ascontiguousarray(column) for name, column in columns.items()}, header)


def test_every_published_look_comes_out_the_same(tmp_path: Path) -> None:
    made = make(tmp_path)

    replay = Replay(tmp_path)
    outcomes = list(replay)

    same = [outcome for outcome in outcomes if outcome.outcome == "same"]
    assert {outcome.outcome for outcome in outcomes} == {"same", "not yet archived"}
    assert len(outcomes) == len(made.looks)
    assert len(same) == replay.looks > 20
    assert replay.folded == replay.messages > 60
    assert any(cell.nonzero for cell in made.looks[-1].cells)


def test_looks_over_what_the_archive_lost_for_good_say_so(tmp_path: Path) -> None:
    lost = Gap(stage="archive", topic="units", partition=0, begin=8, end=20, reason="an idle week")
    made = make(tmp_path, gaps=(lost,))

    outcomes = [outcome.outcome for outcome in Replay(tmp_path)]

    assert {*outcomes} == {"same", "lost to the archive"}
    assert [outcome == "same" for outcome in outcomes] == [look.offsets["0"] <= 8 for look in made.looks]


def test_looks_before_within_and_behind_an_accepted_gap_come_out_the_same(tmp_path: Path) -> None:
    gaps = tuple(
        Gap(stage="aggregation", topic="units", partition=number, begin=begin, end=end, reason="an idle week")
        for number, begin, end in ((0, 8, 20), (1, 11, 16))
    )
    made = make(tmp_path, gaps=gaps, fell=14)

    outcomes = list(Replay(tmp_path))

    assert {outcome.outcome for outcome in outcomes} == {"same", "not yet archived"}
    offsets = [
        look.offsets["0"] for look, outcome in zip(made.looks, outcomes, strict=True) if outcome.outcome == "same"
    ]
    assert 14 in offsets
    assert min(offsets) < 8
    assert max(offsets) > 20
    assert made.looks[-1].health.gaps
    assert not made.looks[0].health.gaps


def test_a_look_that_was_tampered_with_is_found_with_its_field(tmp_path: Path) -> None:
    def tamper(number: int, value: bytes) -> bytes:
        if number != 12:
            return value
        found = msgspec.json.decode(value)
        found["cells"][2]["control_sum"] += 1
        return msgspec.json.encode(found)

    made = make(tmp_path, change=tamper)
    outcomes = list(Replay(tmp_path))

    assert [at for at, outcome in enumerate(outcomes) if outcome.outcome == "different"] == [12]
    assert outcomes[12].field == "cells[2].control_sum"
    assert outcomes[12].published == int(outcomes[12].replayed) + 1
    assert made.looks[12].look == outcomes[12].look


def test_looks_of_earlier_rules_come_out_the_same_wherever_no_rule_has_changed() -> None:
    outcomes = list(Replay(RULES_1))

    assert Counter(each.outcome == "not yet archived" for each in outcomes) == {False: 28, True: 15}
    # Since rules 3 the time left goes on from the last look, and what is excluded is told.
    assert {each.field for each in outcomes} == {None, "verdict.reason", "verdict.days_left", "verdict.excluded"}


def test_a_look_that_other_rules_made_is_not_taken_for_one_that_was_tampered_with(tmp_path: Path) -> None:
    def change(number: int, value: bytes) -> bytes:
        found = msgspec.json.decode(value)
        assert found.pop("rules") == RULES
        found["health"]["late_events"] += number == 12
        return msgspec.json.encode(found)

    make(tmp_path, change=change)
    outcomes = list(Replay(tmp_path))

    assert {each.outcome for each in outcomes} == {"same", "of other rules", "not yet archived"}
    assert [at for at, each in enumerate(outcomes) if each.outcome == "of other rules"] == [12]
    assert outcomes[12].field == "health.late_events"


@pytest.mark.parametrize("log", ["units/1", "catalog/0"])
def test_a_log_without_its_beginning_is_refused(tmp_path: Path, log: str) -> None:
    make(tmp_path)
    min((tmp_path / log).glob("*.parquet")).unlink()

    with pytest.raises(PeekproofError, match=f"{log} begins at offset"):
        Replay(tmp_path)


def test_a_log_that_archive_keep_cut_says_so(tmp_path: Path) -> None:
    make(tmp_path)
    archive = Archive(tmp_path, 10_000)
    archive.start("units", 1, 0)
    newest = chain(tmp_path, "units", 1)[-1].interval
    archive.expire(0, newest + int(1_000 * REPLACED_KEPT))  # all but the newest file

    with pytest.raises(
        PeekproofError,
        match=r"units/1 begins at .*: the setting archive_keep had what was appended up to \d{4}-.* deleted",
    ):
        Replay(tmp_path)


def test_looks_without_their_predecessor_are_not_judged_but_the_next_ones_are(tmp_path: Path) -> None:
    make(tmp_path)
    min((tmp_path / "results" / "0").glob("*.parquet")).unlink()

    outcomes = list(Replay(tmp_path))

    assert [outcome.outcome for outcome in outcomes if outcome.outcome != "not yet archived"][:1] == ["no predecessor"]
    assert [outcome.outcome for outcome in outcomes].count("no predecessor") == len(FLAGS)
    assert [outcome.outcome for outcome in outcomes].count("same") > 5


def test_a_look_that_is_missing_costs_the_judgement_of_the_next_one_alone(tmp_path: Path) -> None:
    whole = list(Replay(make(tmp_path / "whole").directory))
    holed = list(Replay(make(tmp_path / "holed", change=lambda at, value: None if at == 12 else value).directory))

    gone = whole.pop(12)
    after = [(each.experiment, each.look) for each in whole].index((gone.experiment, gone.look + 1))
    assert whole[after].outcome == "same"
    whole[after] = msgspec.structs.replace(whole[after], outcome="no predecessor")
    assert holed == whole


def test_offsets_that_many_looks_need_are_held_once() -> None:
    needs = OffsetsNeeded()
    asked = np.random.default_rng(3).permutation(np.repeat(np.arange(50_000) * 7, 4))
    for offset in asked.tolist():
        needs.add(offset)
    held = len(needs.offsets) + len(needs._added)
    needs.settle()

    assert held < len(asked) / 1.5
    assert needs.offsets.tolist() == list(range(0, 350_000, 7))
    assert set(needs.looks.tolist()) == {4}


def test_an_empty_archive_has_no_looks(tmp_path: Path) -> None:
    assert list(Replay(tmp_path)) == []


def test_the_first_difference_is_named_by_its_path() -> None:
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == ("a[1].b", 2, 3)
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == ("a", [1], [1, 2])
    assert first_difference({"a": 1}, {"a": 1, "c": 2}) == ("c", None, 2)
