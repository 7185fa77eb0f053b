"""States made anew from an archive that pure stages made: they go on as the states did that were never lost."""

import random
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.assignment.routing import assign
from evaluation.catalog import lifecycle
from evaluation.catalog.history import History
from evaluation.metrics.partition import Partition
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import changes
from pipeline.cli import command
from pipeline.demo.visitors import Visitors
from pipeline.errors import PeekproofError
from pipeline.recovery.rebuild import Rebuild, UnitsLog, UnitsLogs
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.storage.archive import Archive
from pipeline.storage.archived import ArchiveGapError, chain
from pipeline.storage.checkpoints import Checkpoints
from schemas.aggregate import Aggregate
from schemas.catalog import KINDS, Document, FlagState, Spec
from schemas.logs import Gap
from schemas.logs import Logs as NamedLogs
from schemas.records import Headers, Records
from schemas.topics import CATALOG, EVENTS, EXPOSURES, UNITS
from schemas.units import decode_units
from tests.end_to_end import shop

START = 1_764_000_000_000
HORIZON = 4_000
SECONDS = 36
PARTITIONS = 3
# Two workers of assignment. exposures/2 and events/3 are quiet: one for ever, one but for its first records.
WORKERS = (
    ((EXPOSURES, 0), (EVENTS, 0), (EVENTS, 2), (EVENTS, 3)),
    ((EXPOSURES, 1), (EXPOSURES, 2), (EVENTS, 1)),
)
SOURCES = [source for worker in WORKERS for source in worker]
Key = tuple[str, int]


@dataclass
class Life:
    """A deployment's catalog, archive and `units`; the state of each partition after each of its messages."""

    directory: Path
    history: History = field(default_factory=History)
    logs: list[list[tuple[int, bytes]]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    settings: Settings = field(default_factory=lambda: Settings(
        units_partitions=PARTITIONS, horizon=HORIZON, tolerance=HORIZON
    ))  # fmt: skip

    def straight(self, number: int, offset: int) -> Partition:
        """The state that was never lost."""
        state = Partition(number, HORIZON)
        return self.continued(state, offset)

    def continued(self, state: Partition, end: int | None = None) -> Partition:
        """A state that goes on with the log."""
        for offset, message in self.logs[state.partition]:
            if offset >= state.offset and (end is None or offset < end):
                state.fold(offset, message, self.history.at_offset)
        return state

    def held(self, begins: list[int]) -> UnitsLogs:
        """What Kafka has, if the log of each partition begins there."""
        found = []
        for log, begin in zip(self.logs, begins, strict=True):
            heads: dict[Key, object] = {}
            for offset, message in log:
                if offset >= begin:
                    for source in decode_units(message)[1].sources:
                        heads.setdefault((source.topic, source.partition), source)
            found.append(UnitsLog(begin, log[-1][0] + 1, heads))  # type: ignore[arg-type]
        return UnitsLogs(found, len(SOURCES))

    def rebuild(self, begins: list[int] | None = None) -> Rebuild:
        return Rebuild(self.directory, self.history, self.settings, self.held(begins) if begins else None)

    def accept(self, gap: Gap) -> None:
        _append(self.history, NamedLogs(cluster="c", topics={}, gaps=(gap,)), "logs", START + 1_000 * SECONDS)

    def lose(self, source: Key, before: int) -> None:
        """The archive's files of a source up to an offset."""
        for file in chain(self.directory, *source):
            if file.begin < before:
                file.path.unlink()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return _live(tmp_path_factory.mktemp("life"))


@pytest.fixture
def life(lived: Life, tmp_path: Path) -> Life:
    """One of the test's own."""
    shutil.copytree(lived.directory, tmp_path / "archive")
    return replace(lived, directory=tmp_path / "archive", history=lived.history.copy())


def _live(directory: Path) -> Life:
    made = Life(directory / "archive")
    documents = shop.write_documents(directory / "documents")
    archive = Archive(made.directory, 3_000, max_records=400)
    for offset, (time, value) in enumerate(_catalog(made.history, documents)):
        archive.append(_records((CATALOG, 0), offset, [value], time))
    archive.advance(CATALOG, 0, START + 1_000 * SECONDS)
    chance = random.Random(5)
    visitors = Visitors(made.history.newest.flags, seed=3, start=START, records_per_second=150, horizon_ms=HORIZON)
    sent: dict[Key, list[Records]] = {source: [] for source in SOURCES}
    taken = dict.fromkeys(SOURCES, 0)
    workers = [Gathering(PARTITIONS, HORIZON, len(SOURCES)) for _ in WORKERS]
    for worker, sources in zip(workers, WORKERS, strict=True):
        for source in sources:
            worker.begin(source, 0)
    offsets = [0] * PARTITIONS

    for tick in range(2 * SECONDS):
        now = START + 500 * (tick + 1)
        for source, values in _said(visitors, now).items():
            records = _records(source, sum(map(len, sent[source])), values, now)
            sent[source].append(records)
            archive.append(records)
        for source in SOURCES:
            archive.advance(*source, now)
        for number in chance.sample(range(len(WORKERS)), len(WORKERS)):
            worker, sources = workers[number], WORKERS[number]
            if tick == 31 and number == 0:  # it falls, and its successor reads again what was not committed
                for source in sources:
                    taken[source] = max(0, taken[source] - 2)
                    worker.begin(source, sum(map(len, sent[source][: taken[source]])))
            if tick % 7 == 3 and number == 1:  # it lags
                continue
            for source in sources:
                for records in sent[source][taken[source] :]:
                    for assigned in assign(records, made.history, HORIZON, HORIZON):
                        worker.add(source, assigned)
                taken[source] = len(sent[source])
                worker.reach(source, now, made.history.states[made.history.index_at(now)].offset)
            for partition, message in enumerate(worker.cut()[1]):
                log, offset = made.logs[partition], offsets[partition]
                log.append((offset, message))
                archive.append(_records((UNITS, partition), offset, [message], now))
                offsets[partition] += 1
    return made


def _catalog(history: History, documents: Path) -> list[tuple[int, bytes]]:
    """Metrics of every type; two experiments that run, one of which is completed, and a third one later."""
    made = [
        _append(history, change.spec, change.key, START - 5_000)
        for change in changes(read_documents(documents), history)
    ]
    for key, seconds in (("every-metric", -4), ("own-exposure", -4), ("every-device", 9)):
        made.append(_append(history, lifecycle.start(_state(history, key), 2, salt=key), key, START + seconds * 1_000))
    completed = lifecycle.complete(_state(history, "own-exposure"), 3)
    return [*made, _append(history, completed, "own-exposure", START + 10_000)]


def _state(history: History, key: str) -> FlagState:
    state = history.state_of(key)
    assert state
    return state


def _append(history: History, spec: Spec, key: str, time: int) -> tuple[int, bytes]:
    kind = KINDS[type(spec)]
    base = history.newest.version_of(kind, key)
    raw = msgspec.Raw(msgspec.json.encode(spec))
    document = Document(kind=kind, key=key, version=base + 1, base=base, author="-", time=0, reason="-", spec=raw)
    value = msgspec.json.encode(document)
    history.append(history.newest.offset, time, value)
    assert not history.rejected
    return time, value


def _said(visitors: Visitors, now: int) -> dict[Key, list[bytes | None]]:
    said: dict[Key, list[bytes | None]] = {}
    for chunk in visitors.until(now):
        for visitor, value in zip(chunk.visitor.tolist(), chunk.values, strict=True):
            number = visitor % (2 if chunk.topic == EXPOSURES else 3)
            said.setdefault((chunk.topic, number), []).append(value)
    if now < START + 2_000:
        said[EVENTS, 3] = [b'{"event_type":"page_view","user_id":"u5","time":%d}' % now] * 2
    return said


def _records(source: Key, begin: int, values: list[bytes | None], time: int) -> Records:
    """Every fifth record may hold several messages, as a header says."""
    many: Headers = (("content-type", b"application/x-ndjson"),)
    length = np.array([-1 if value is None else len(value) for value in values], np.int64)
    size = np.maximum(length, 0)
    return Records(
        topic=source[0],
        partition=source[1],
        begin=begin,
        end=begin + len(values),
        offset=np.arange(begin, begin + len(values)),
        append_time=np.full(len(values), time),
        start=np.cumsum(size) - size,
        length=length,
        data=memoryview(b"".join(value or b"" for value in values)),
        headers={row: many for row in range(0, len(values), 5) if source[0] in {EXPOSURES, EVENTS}},
    )


def _told(state: Partition) -> list[Aggregate]:
    """All that a partition says; of a final run neither when that was, nor what repeats were counted until then."""
    return [
        msgspec.structs.replace(each, offset=0, watermark=0, catalog=0, metrics=[], duplicate_ids=0)
        if each.final
        else each
        for each in state.aggregates()
    ]


def test_states_of_the_archived_units_are_those_that_were_lost(life: Life) -> None:
    rebuild = life.rebuild([0] * PARTITIONS)
    told: list[int] = []

    states = list(rebuild.states(told.append))

    assert rebuild.made_of == (UNITS,)
    assert [state.partition for state in states] == list(range(PARTITIONS))
    for state in states:
        assert state.offset == chain(life.directory, UNITS, state.partition)[-1].end < len(life.logs[state.partition])
        straight = life.straight(state.partition, state.offset)
        assert state.save() == straight.save()
        assert life.continued(state).aggregates() == life.continued(straight).aggregates()
    assert told[-1] == rebuild.size == sum(chain(life.directory, UNITS, n)[-1].end for n in range(PARTITIONS))


@pytest.mark.parametrize("ahead", [50, 1 << 15])
@pytest.mark.parametrize("begins", [[40, 41, 47], [60, 90, 121], [70, 66, 63], [2, 1, 3]])
def test_where_units_are_not_archived_exposures_and_events_make_the_states_at_the_begin_of_the_log(
    life: Life, begins: list[int], ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.recovery.rebuild.ROWS", ahead)
    shutil.rmtree(life.directory / UNITS)
    rebuild = life.rebuild(begins)
    told: list[int] = []

    states = list(rebuild.states(told.append))

    assert rebuild.made_of == (EXPOSURES, EVENTS)
    assert told[-1] == rebuild.size > 0
    for state, begin in zip(states, begins, strict=True):
        assert state.offset == begin
        straight = life.straight(state.partition, begin)
        again = Partition.load(state.save())
        assert [each.arms for each in _told(state)] == [each.arms for each in _told(straight)]
        for end in range(begin + 5, len(life.logs[state.partition]) + 1, 9):
            assert _told(life.continued(again, end)) == _told(life.continued(straight, end))
        assert any(each.final for each in straight.aggregates())
        assert any(arm.units for each in straight.aggregates() for arm in each.arms)


def test_a_run_that_was_over_is_told_from_where_the_log_begins(life: Life) -> None:
    shutil.rmtree(life.directory / UNITS)
    begins = [len(log) - 4 for log in life.logs]

    for state in life.rebuild(begins).states():
        (final,) = [each for each in state.aggregates() if each.final]
        (lost,) = [each for each in life.straight(state.partition, state.offset).aggregates() if each.final]
        assert lost.offset < final.offset == state.offset


def test_what_was_lost_at_the_begin_of_the_archived_units_comes_from_exposures_and_events(life: Life) -> None:
    life.lose((UNITS, 1), 5)

    assert life.rebuild([60, 60, 60]).made_of == (EXPOSURES, EVENTS)


def test_an_accepted_gap_of_units_is_left_out_although_the_archive_holds_it(life: Life) -> None:
    gap = Gap(stage="aggregation", topic=UNITS, partition=1, begin=30, end=50, reason="expired")
    life.accept(gap)

    state = list(life.rebuild([0, 0, 0]).states())[1]

    straight = life.straight(1, 30)
    straight.offset = 30
    straight.skip(gap, 50)
    life.continued(straight, state.offset)
    assert state.gaps == [gap]
    assert state.save() == straight.save()
    assert [each.arms for each in state.aggregates()] != [each.arms for each in life.straight(1, 100).aggregates()]


def test_an_archive_need_not_hold_what_a_gap_leaves_out(life: Life) -> None:
    life.lose((UNITS, 0), 20)
    begin = chain(life.directory, UNITS, 0)[0].begin
    life.accept(Gap(stage="aggregation", topic=UNITS, partition=0, begin=0, end=begin, reason="lost"))

    rebuild = life.rebuild([begin, 0, 0])

    assert rebuild.made_of == (UNITS,)
    assert next(rebuild.states()).aggregates()


def test_what_lies_between_the_archive_and_the_log_is_not_lost_in_silence(life: Life) -> None:
    shutil.rmtree(life.directory / EVENTS)
    chain(life.directory, UNITS, 2)[-1].path.unlink()
    end = chain(life.directory, UNITS, 2)[-1].end

    with pytest.raises(ArchiveGapError) as refused:
        life.rebuild([0, 0, end + 3])

    units, sources = str(refused.value).split("\n")
    assert f"units/2 reaches offset {end}, but its log begins at {end + 3}: 3 offsets are lost" in units
    assert "Nor can it be made of exposures and events: the archive of events/0 reaches offset 0" in sources
    assert "`peekproof worker archive` brings the archive up to its end" in sources
    assert sources.endswith("`peekproof recover accept-gap` shows what is lost and goes on")

    life.accept(Gap(stage="aggregation", topic=UNITS, partition=2, begin=end - 5, end=end + 3, reason="expired"))
    assert [state.offset for state in life.rebuild([0, 0, end + 3]).states()][2] == end + 3


def test_an_archive_that_reaches_beyond_the_log_is_refused(life: Life) -> None:
    held = life.held([0, 0, 0])
    cut = [replace(log, end=50) for log in held.units]

    with pytest.raises(PeekproofError, match="its log ends at 50: its end was lost"):
        Rebuild(life.directory, life.history, life.settings, replace(held, units=cut))


def test_sources_without_their_begin_are_refused_unless_nothing_counted_yet(life: Life) -> None:
    shutil.rmtree(life.directory / UNITS)
    life.lose((EVENTS, 0), 100)
    begin = chain(life.directory, EVENTS, 0)[0].begin

    with pytest.raises(ArchiveGapError, match=rf"events/0 begins at offset {begin}, but .* needed from offset 0 on"):
        life.rebuild([60, 60, 60])

    later = History()
    _append(later, NamedLogs(cluster="c", topics={}), "logs", START + 1_000 * SECONDS)
    life.history = later
    assert life.rebuild([60, 60, 60]).made_of == (EXPOSURES, EVENTS)


def test_a_gap_that_assignment_left_out_is_left_out_again_and_told(life: Life) -> None:
    shutil.rmtree(life.directory / UNITS)
    life.accept(Gap(stage="assignment", topic=EVENTS, partition=0, begin=100, end=200, reason="expired"))

    states = list(life.rebuild([100, 100, 100]).states())

    assert [[(gap.begin, gap.end, gap.reason) for gap in state.gaps] for state in states] == [
        [(100, 200, "expired")]
    ] * PARTITIONS


def test_without_kafka_only_the_archived_units_will_do(life: Life) -> None:
    assert [state.offset for state in life.rebuild().states()] == [
        chain(life.directory, UNITS, number)[-1].end for number in range(PARTITIONS)
    ]
    life.lose((UNITS, 0), 1)

    with pytest.raises(ArchiveGapError, match="Kafka must answer"):
        life.rebuild()


def test_another_number_of_units_partitions_is_refused(life: Life) -> None:
    life.settings = msgspec.structs.replace(life.settings, units_partitions=2)

    with pytest.raises(PeekproofError, match="the archive has units/2, but units_partitions is 2"):
        life.rebuild()


def test_another_horizon_is_refused(life: Life) -> None:
    life.settings = msgspec.structs.replace(life.settings, horizon=HORIZON + 1)

    with pytest.raises(PeekproofError, match="give every stage the one that the installation began with"):
        list(life.rebuild().states())


def test_the_command_puts_the_states_in_the_place_of_checkpoints_even_without_kafka(life: Life) -> None:
    data = life.directory.parent
    settings = msgspec.structs.replace(life.settings, data=data, bootstrap_servers="127.0.0.1:1")
    checkpoints = Checkpoints(str(data / "checkpoints"))
    checkpoints.write(1, 10_000, b"of another version", "", "")

    called = CliRunner().invoke(command, ["recover", "rebuild", "--json"], env=settings.environment())

    assert called.exit_code == 0
    assert "So the state is made of the archive alone" in called.stderr
    told = msgspec.json.decode(called.stdout)
    assert told["made_of"] == [UNITS]
    for state in told["states"]:
        newest = checkpoints.newest(state["partition"])
        assert newest
        assert newest.offset == state["offset"] == chain(life.directory, UNITS, state["partition"])[-1].end
        assert newest.state == life.straight(state["partition"], newest.offset).save()


def test_without_an_archive_the_command_says_where_it_looked(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, bootstrap_servers="127.0.0.1:1")

    called = CliRunner().invoke(command, ["recover", "rebuild"], env=settings.environment())

    assert str(called.exception).startswith(f"there is no archive in '{tmp_path}/archive'; PEEKPROOF_DATA names")
