"""The snapshot as analysts meet it: another process, another DuckDB, while it is replaced again and again."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from pipeline.storage import history as history_module
from pipeline.storage import rows as rows_module
from pipeline.storage.archive import Archive
from pipeline.storage.history import literal
from pipeline.storage.snapshot import publish
from pipeline.storage.store import Store
from pipeline.storage.tables import CELL
from schemas.catalog import Allocation, Document, Flag, FlagState, Goal, Hypothesis, Metric, Run, Variant
from schemas.dead_letter import DeadLetter, Reason, to_headers
from schemas.look import Cell
from schemas.notification import HandedOver, Notification
from schemas.records import Headers, Records
from tests.pipeline.slices import records as slice_of

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]
CLI = Path(sys.executable).with_name("duckdb")


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def records(topic: str, partition: int, values: list[tuple[Headers, bytes | None]]) -> Records:
    """Records that all have headers."""
    sizes = np.array([len(value or b"") for _, value in values], np.int64)
    n = len(values)
    return Records(
        topic=topic,
        partition=partition,
        begin=0,
        end=n,
        offset=np.arange(n, dtype=np.int64),
        append_time=np.full(n, 5_000, np.int64),
        start=np.cumsum(sizes) - sizes,
        length=np.array([-1 if value is None else len(value) for _, value in values], np.int64),
        data=memoryview(b"".join(value or b"" for _, value in values)),
        headers={row: headers or (("x", b""),) for row, (headers, _) in enumerate(values)},
    )


def document(kind: str, key: str, spec: object) -> bytes:
    return msgspec.json.encode(
        Document(
            kind=kind,
            key=key,
            version=1,
            base=0,
            author="ann",
            time=1,
            reason="new",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
    )


@pytest.fixture
def store(tmp_path: Path, looks: Looks, beat: Callable[[str, int], bytes]) -> Store:
    """A store with something of everything."""
    metric = Metric(key="metric-0", owner="ann", type="conversion", event="buy", window="10s")
    flag = Flag(
        key="checkout",
        owner="ann",
        hypothesis=Hypothesis(problem="p", solution="s", prediction="up 2%"),
        variants=(Variant(key="control"), Variant(key="treatment")),
        metrics=(Goal(metric="metric-0", role="primary"),),
    )
    weights = {"control": 1, "treatment": 1}
    run = Run(key="exp-1", salt="a", started=1, allocations=(Allocation(flag_version=1, rollout=100, weights=weights),))
    state = FlagState(definition=flag, status="running", runs=(run,))
    store = Store(tmp_path / "store")
    store.add_catalog(
        [
            (0, 0, 1_000, document("metric", "metric-0", metric)),
            (0, 1, 2_000, document("flag", "checkout", state)),
            (0, 2, 3_000, b"nonsense"),
        ]
    )
    store.add_looks(looks(1, 5))
    store.add_dead_letters([(0, 0, 9, [], b"\xff")])
    store.add_health([(0, 0, 5_000, beat("host/1", 4_000))])
    word = Notification(id="n1", rule="r", event="lag", subject="stage/storage", time=1, sentence="It lags.")
    store.add_notifications([(0, 0, 5_000, msgspec.json.encode(word))])
    over = HandedOver(id="n1", rule="r", place="mail", outcome="delivered", attempts=1, time=2)
    store.add_deliveries([(0, 0, 5_000, msgspec.json.encode(over))])
    store.flush()
    return store


@pytest.fixture
def snapshot(tmp_path: Path, store: Store) -> Path:
    """The snapshot of that store, over an archive with records of every kind."""
    many = (("Content-Type", b"application/x-ndjson; charset=utf-8"),)
    event = {"event_type": "buy", "time": 1_234, "user_id": "u", "event_properties": {"price": 2.5}}
    lines = '{"event_type":"é","time":"soon"}\nnonsense\r\n\n\r\n[1]\r\n{"event_type":"b","time":99999999999999999}\n'
    values: list[tuple[Headers, bytes | None]] = [
        ((), json.dumps(event).encode()),
        ((), b"\xff\xfe"),
        (many, lines.encode()),
        ((), None),
        ((), b""),
        ((("content-type", b"application/vnd.apache.arrow.stream"),), b"\xff\xff\xff\xff"),
    ]
    archive = Archive(tmp_path / "archive", 1_000)
    archive.append(records("events", 3, values))
    archive.advance("events", 3, 10_000)
    exposure = {"flag_key": "checkout", "variant": "treatment", "user_id": "u", "metadata": {"flagVersion": 1}}
    archive.append(records("exposures", 0, [((), json.dumps(exposure).encode())]))
    archive.advance("exposures", 0, 10_000)
    path = tmp_path / "peekproof.duckdb"
    publish(store, path, tmp_path / "archive")
    return path


def test_events_within_records_of_many_are_rows_and_unreadable_ones_are_not(snapshot: Path) -> None:
    rows = ask(
        snapshot,
        "SELECT kafka_partition, kafka_offset, record_index, event_type, time, event_properties->>'price', user_id "
        "FROM events ORDER BY kafka_offset, record_index",
    )

    appended = datetime(1970, 1, 1, 0, 0, 5)
    assert rows == [
        (3, 0, 0, "buy", datetime(1970, 1, 1, 0, 0, 1, 234_000), "2.5", "u"),
        (3, 2, 0, "é", appended, None, None),
        (3, 2, 3, "b", appended, None, None),
    ]


def test_n18_each_record_says_what_was_made_of_it(tmp_path: Path, store: Store) -> None:
    now, hour = 1_700_000_000_000, 3_600_000
    times = [now, now - hour, now - hour - 1, now + 600_000, now + 600_001, 8_000_000_000_000_000, -1, None]
    events = [b'{"event_type":"buy"' + (b"" if t is None else b',"time":%d' % t) + b"}" for t in times]
    many = ((("content-type", b"application/x-ndjson"),), b"\n".join([events[0]] * 2))
    again = ((("peekproof-append-time", str(now - hour).encode()), ("peekproof-origin", b"events/0/9")), events[2])
    sent = records("events", 0, [*(((), event) for event in events), many, again, many])
    sent = dataclasses.replace(sent, append_time=np.full(len(sent.offset), now, np.int64))
    archive = Archive(tmp_path / "archive", 1_000)
    archive.append(sent)
    archive.advance("events", 0, now + 10_000)

    def dead_letter(offset: int, index: int | None, reason: Reason) -> tuple[int, int, int, Headers, bytes | None]:
        of = {"reason": reason, "detail": "-", "topic": "events", "partition": 0, "offset": offset, "index": index}
        return (0, 1 + offset, now + 5, to_headers(DeadLetter(**of, append_time=now, value=b"x")), b"x")

    store.add_dead_letters(
        [
            dead_letter(4, None, "future"),
            dead_letter(7, None, "no unit"),
            dead_letter(7, None, "wrong type"),
            dead_letter(8, 1, "no unit"),
            dead_letter(10, None, "too large"),
        ]
    )
    store.flush()
    path = tmp_path / "peekproof.duckdb"
    publish(store, path, tmp_path / "archive")

    assert ask(path, "SELECT kafka_offset, record_index, outcome FROM events ORDER BY ALL") == [
        (0, 0, "counted"),
        (1, 0, "counted"),
        (2, 0, "late"),
        (3, 0, "counted"),
        (4, 0, "dead letter: future"),
        (5, 0, "dead letter: future" if times[5] <= 253_402_300_799_999 else "dead letter: time out of range"),
        (6, 0, "dead letter: time out of range"),
        (7, 0, "dead letter: no unit"),
        (8, 0, "counted"),
        (8, 1, "dead letter: no unit"),
        (9, 0, "counted"),  # sent again, and judged by its first append time
        (10, 0, "dead letter: too large"),
        (10, 1, "dead letter: too large"),
    ]
    assert ask(path, "SELECT max(time) FROM events WHERE outcome = 'counted'") == [
        (datetime.fromtimestamp((now + 600_000) / 1_000, UTC).replace(tzinfo=None),)
    ]


def test_the_queries_that_the_documentation_has_say_something(snapshot: Path) -> None:
    blocks = re.findall("```sql\n(.*?)```", Path("docs/read.md").read_text(), re.DOTALL)
    queries = [query for block in blocks for query in re.sub("--.*", "", block).split(";") if query.strip()]

    assert len(queries) > 2
    for query in queries:
        ask(snapshot, query)


def test_n18_what_older_dead_letters_said_is_not_known_any_more(
    tmp_path: Path, store: Store, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {outcome for (outcome,) in ask(snapshot, "SELECT outcome FROM exposures")} == {"counted"}
    monkeypatch.setattr(rows_module, "DEAD_LETTERS_KEPT", 1)
    store.add_dead_letters([(0, offset, 6_000 + offset, [], b"x") for offset in (1, 2)])
    store.flush()
    publish(store, snapshot, tmp_path / "archive")

    assert ask(snapshot, "SELECT outcome FROM exposures") == [(None,)]


def test_exposures_are_rows(snapshot: Path) -> None:
    rows = ask(snapshot, "SELECT flag_key, variant, user_id, metadata->>'flagVersion', time FROM exposures")

    assert rows == [("checkout", "treatment", "u", "1", datetime(1970, 1, 1, 0, 0, 5))]


def test_experiments_variants_and_metrics_show_what_is_in_force_and_the_newest_look(snapshot: Path) -> None:
    assert ask(
        snapshot,
        "SELECT key, status, prediction, metrics, run, started, completed, look, units, verdict, verdict_reason, "
        "exposures, jumpers, srm_p_value FROM experiments",
    ) == [
        (
            "checkout",
            "running",
            "up 2%",
            ["metric-0"],
            "exp-1",
            datetime(1970, 1, 1, 0, 0, 2),
            None,
            5,
            400,
            "keep running",
            "it's early",
            401,
            0,
            0.5,
        )
    ]
    columns = "variant, is_control, units, share, expected_share, verdict, verdict_reason"
    assert ask(snapshot, f"SELECT {columns} FROM variants ORDER BY variant") == [
        ("control", True, 100, 0.25, 0.5, None, None),
        ("treatment", False, 300, 0.75, 0.5, "keep running", "it's early"),
    ]
    assert ask(snapshot, "SELECT key, type, window_ms, experiments FROM metrics") == [
        ("metric-0", "conversion", 10_000, ["checkout"])
    ]
    log = ask(snapshot, 'SELECT "offset", key, author, ignored IS NULL FROM catalog ORDER BY "offset"')
    assert log == [(0, "metric-0", "ann", True), (1, "checkout", "ann", True), (2, None, None, False)]


def test_health_shows_lag_and_freshness(snapshot: Path) -> None:
    rows = ask(
        snapshot,
        "SELECT worker, topic, partition, lag, freshness_seconds, counts['rows'] "
        "FROM pipeline_health ORDER BY partition",
    )

    assert rows == [("host/1", "events", 0, 2, 1.0, 4), ("host/1", "events", 1, 0, None, 4)]


def test_results_hold_the_newest_look_and_history_all_of_them_wherever_they_stand(
    tmp_path: Path, store: Store, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "RECENT_ROWS", 40)
    store.add_looks(looks(6, 12, offset=5))
    store.flush()
    store.add_looks(looks(13, 14, offset=12))
    store.flush()
    path = tmp_path / "peekproof.duckdb"
    publish(store, path, tmp_path / "archive")

    assert ask(path, "SELECT DISTINCT look, sum_squares, control_sum FROM results") == [(14, 2**100 + 15, -(2**40))]
    assert ask(path, "SELECT count(*) FROM results_recent") == [(8,)]
    assert ask(path, "SELECT look, count(*), max(sum_squares) FROM results_history GROUP BY look ORDER BY look") == [
        (number, 4, 2**100 + 1 + number) for number in range(1, 15)
    ]


def test_n13_results_show_the_running_interval_first_and_that_of_the_look_under_its_name(
    snapshot: Path, store: Store, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "RECENT_ROWS", 20)  # so that the history is a file's
    store.add_looks(looks(6, 7, offset=5))
    store.flush()
    publish(store, snapshot, snapshot.parent / "archive")
    columns = "lower, upper, p_value, relative_upper, look_lower, look_upper, look_p_value, look_relative_upper"

    expected = [(-0.25, 0.5, 0.125, 1.5, -0.5, 0.75, 0.25, 1.75)]
    assert ask(snapshot, "SELECT count(*) FROM results_recent") == [(0,)]
    assert ask(snapshot, f"SELECT DISTINCT {columns} FROM results") == expected
    assert ask(snapshot, f"SELECT DISTINCT {columns} FROM results_history") == expected
    for table in ("results", "results_history", "results_recent"):
        names = [name for name, *_ in ask(snapshot, f"DESCRIBE {table}")]
        assert names.index("lower") < names.index("look_lower")
        assert [name for name in names if str(name).startswith("running_")] == ["running_empty"]
    assert ask(snapshot, "SELECT schema_version FROM about") == [(2,)]


def test_every_table_and_column_carries_a_comment(snapshot: Path) -> None:
    assert (
        ask(snapshot, "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL")
        == []
    )
    assert ask(snapshot, "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL") == []
    assert ask(snapshot, "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL") == []
    ((columns,),) = ask(snapshot, "SELECT count(*) FROM duckdb_columns() WHERE NOT internal")
    assert isinstance(columns, int)
    assert columns > 200


def test_every_field_of_a_cell_is_a_column() -> None:
    assert set(Cell.__struct_fields__) == set(CELL.values())


def test_the_duckdb_command_reads_every_table_under_any_name(snapshot: Path) -> None:
    names = [name for (name,) in ask(snapshot, "SELECT table_name FROM information_schema.tables")]
    sql = "".join(f"SELECT '{name}' AS name, count(*) AS rows FROM other.{name};" for name in names)

    answer = subprocess.run(
        [CLI, "-json", "-c", f"ATTACH '{snapshot}' AS other (READ_ONLY); {sql}"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {row["name"]: row["rows"] for line in answer.stdout.splitlines() if line for row in json.loads(line)}

    assert set(rows) == set(names)
    assert (rows["events"], rows["exposures"], rows["results"], rows["results_history"]) == (3, 1, 4, 20)


COUNTS = (
    "SELECT (SELECT count(*) FROM {0}events), (SELECT count(*) FROM {0}exposures), count(*) FROM {0}results_history"
)


@pytest.fixture
def copy(tmp_path: Path, store: Store, looks: Looks, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the snapshot, of its archive and of a history that stands in files; what they were made of is gone."""
    monkeypatch.setattr(history_module, "RECENT_ROWS", 20)
    store.add_looks(looks(6, 6, offset=5))
    store.flush()
    publish(store, snapshot, tmp_path / "archive")
    copy = tmp_path / "an analyst's" / "copy"
    for directory in ("archive", "store/history"):
        shutil.copytree(tmp_path / directory, copy / directory)
        shutil.rmtree(tmp_path / directory)
    return Path(shutil.move(snapshot, copy))


def test_a_copy_can_be_read_wherever_it_lies(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [(3, 1, 24)]
    assert ask(copy, "SELECT count(*) FROM results_recent") == [(0,)]

    assert ask(copy, COUNTS.format("")) == counts
    for directory in (tmp_path, copy.parent, tmp_path / "store"):
        monkeypatch.chdir(directory)
        assert ask(Path(os.path.relpath(copy)), COUNTS.format("")) == counts
        answer = subprocess.run(
            [CLI, "-readonly", "-csv", "-noheader", os.path.relpath(copy), "-c", COUNTS.format("")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == "3,1,24\n"


def test_a_session_that_attaches_a_copy_says_where_it_lies(copy: Path, tmp_path: Path) -> None:
    renamed = copy.with_name("monday.duckdb")
    shutil.copy(copy, renamed)

    for opened, attached in ((":memory:", copy), (str(tmp_path / "mine.duckdb"), copy), (str(copy), renamed)):
        with duckdb.connect(opened, read_only=opened == str(copy)) as session:
            session.execute(f"ATTACH {literal(attached)} AS theirs (READ_ONLY)")
            session.execute("SET VARIABLE peekproof_data = $1", [str(copy.parent)])
            assert session.execute(COUNTS.format("theirs.")).fetchall() == [(3, 1, 24)]


def test_a_session_that_attaches_it_where_it_was_written_need_not_say_so(snapshot: Path, tmp_path: Path) -> None:
    for opened in (":memory:", str(tmp_path / "mine.duckdb")):
        with duckdb.connect(opened) as session:
            session.execute(f"ATTACH '{snapshot}' AS theirs (READ_ONLY)")
            assert session.execute(COUNTS.format("theirs.")).fetchall() == [(3, 1, 20)]


def test_a_session_that_attached_it_sees_a_newer_snapshot_as_about_says(
    tmp_path: Path, store: Store, snapshot: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ((way,),) = ask(snapshot, "SELECT refresh_with FROM about")
    with duckdb.connect() as session:
        session.execute(f"ATTACH '{snapshot}' AS peekproof (READ_ONLY)")
        store.add_looks(looks(6, 6, offset=5))
        store.flush()
        publish(store, snapshot, tmp_path / "archive")
        session.execute(str(way).partition("attached: ")[2])

        assert session.execute(COUNTS.format("peekproof.")).fetchall() == [(3, 1, 24)]


# Directories with other versions of the client, made by `pip install --no-deps --target DIRECTORY duckdb==1.1.3`.
CLIENTS = os.environ.get("PEEKPROOF_CLIENTS", "").split(":")  # "": our own
OTHER_CLIENT = """
import sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as session:
    for (name,) in session.execute("SELECT table_name FROM information_schema.tables").fetchall():
        try:
            session.execute(f"FROM {name}").fetchall()
        except duckdb.Error as error:
            assert name in ("events", "exposures"), name
            assert "want DuckDB 1.3 or later, and this is v" in str(error), error
            assert duckdb.__version__ < "1.3"
print(duckdb.__version__)
"""


def test_the_file_has_the_format_that_old_clients_read(snapshot: Path) -> None:
    assert int.from_bytes(snapshot.read_bytes()[12:20], "little") == 64  # of DuckDB 1.0 to 1.1


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_reads_it_from_1_1_on(copy: Path, client: str) -> None:
    environment = os.environ | {"PYTHONPATH": client}
    subprocess.run([sys.executable, "-c", OTHER_CLIENT, copy], env=environment, check=True)


def test_files_that_are_older_than_is_kept_leave_the_views_before_they_go(
    tmp_path: Path, store: Store, snapshot: Path
) -> None:
    publish(store, snapshot, tmp_path / "archive", archive_keep=86_400_000)

    assert ask(snapshot, "SELECT count(*) FROM events") == [(0,)]
    assert len([*(tmp_path / "archive" / "events" / "3").iterdir()]) == 1


def test_a_hole_in_the_archive_costs_its_own_rows_alone(tmp_path: Path, store: Store, snapshot: Path) -> None:
    archive = Archive(tmp_path / "archive", 1_000)
    for number in (1, 2):
        archive.append(slice_of("exposures", 0, number, [b'{"flag_key":"checkout"}'], append_time=5_000 * number))
        archive.advance("exposures", 0, 10_000 * number)
    second = sorted((tmp_path / "archive" / "exposures" / "0").glob("*.parquet"))[1]
    second.unlink()

    publish(store, snapshot, tmp_path / "archive")

    assert ask(snapshot, "SELECT kafka_offset FROM exposures ORDER BY ALL") == [(0,), (2,)]


def test_an_empty_snapshot_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "peekproof.duckdb"
    with Store(tmp_path / "data" / "store") as store:
        publish(store, path, tmp_path / "data" / "archive")

    for (name,) in ask(path, "SELECT table_name FROM information_schema.tables"):
        assert len(ask(path, f"FROM {name}")) == (1 if name == "about" else 0)


def test_a_write_ahead_log_that_a_session_left_is_removed(tmp_path: Path, store: Store, snapshot: Path) -> None:
    stale = snapshot.with_name("peekproof.duckdb.wal")
    stale.write_bytes(b"stale")

    publish(store, snapshot, tmp_path / "archive")

    assert not stale.exists()
    assert snapshot.stat().st_mode & 0o777 == 0o444


def test_what_a_killed_or_failed_one_left_unfinished_does_not_pile_up(tmp_path: Path, store: Store) -> None:
    unfinished = tmp_path / "new" / ".peekproof.duckdb.tmp"
    path = tmp_path / "new" / "peekproof.duckdb"
    path.mkdir(parents=True)  # no file can take its place
    with pytest.raises(OSError, match="directory"):
        publish(store, path, tmp_path / "archive")
    assert [*path.parent.iterdir()] == [path]

    path.rmdir()
    for left in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
        left.write_bytes(b"half")
    publish(store, path, tmp_path / "archive")

    assert [*path.parent.iterdir()] == [path]
    assert ask(path, "SELECT count(*) FROM about") == [(1,)]


READER = """
import sys
import duckdb
seen = []
for _ in range(100):
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        (look,), = connection.execute("SELECT DISTINCT look FROM results").fetchall()
        history = connection.execute("SELECT max(look), count(DISTINCT look) FROM results_history").fetchall()
        (newest,), = connection.execute("SELECT look FROM experiments").fetchall()
        assert history == [(look, look)] and newest == look, (look, history, newest)
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(3,)]
        seen.append(look)
assert seen == sorted(seen)
print(len(seen), len(set(seen)))
"""


def test_a_hundred_reads_succeed_and_agree_while_it_is_replaced(
    tmp_path: Path, store: Store, snapshot: Path, looks: Looks
) -> None:
    done = threading.Event()

    def write() -> None:
        number = 5
        while not done.wait(0.02):
            number += 1
            store.add_looks(looks(number, number, offset=number - 1))
            store.flush()
            publish(store, snapshot, tmp_path / "archive")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        answer = subprocess.run([sys.executable, "-c", READER, snapshot], capture_output=True, text=True, check=False)
    finally:
        done.set()
        writer.join()

    assert answer.returncode == 0, answer.stderr
    reads, snapshots = map(int, answer.stdout.split())
    assert reads == 100
    assert snapshots > 10
