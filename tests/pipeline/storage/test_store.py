"""The store on a real DuckDB file: what is written once, survives a kill, and is locked."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from pipeline.owner import OwnerError
from pipeline.storage import history
from pipeline.storage.rows import DEAD_LETTERS_KEPT, NOTIFICATIONS_KEPT
from pipeline.storage.store import Store
from schemas.dead_letter import DeadLetter, Reason, to_headers
from schemas.notification import HandedOver, Notification

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]


def query(store: Store, sql: str) -> list[tuple[object, ...]]:
    return store.connection.execute(sql).fetchall()


def test_looks_are_stored_once_with_their_offsets(tmp_path: Path, looks: Looks) -> None:
    with Store(tmp_path) as store:
        store.add_looks(looks(1, 3))
        store.flush()
        store.add_looks(looks(1, 4))  # read again, one new
        store.flush()

        assert store.offsets() == {("results", 0): 4}
        assert query(store, "SELECT look, count(*) FROM results_recent GROUP BY look ORDER BY look") == [
            (1, 4),
            (2, 4),
            (3, 4),
            (4, 4),
        ]
        assert query(store, "SELECT DISTINCT look FROM results") == [(4,)]
        assert store.ignored_looks == 0


def test_how_known_workers_are_is_no_news(tmp_path: Path, looks: Looks, beat: Callable[[str, int], bytes]) -> None:
    with Store(tmp_path) as store:
        for offset, (worker, is_news) in enumerate([("a", True), ("a", False), ("b", True), ("a", False)]):
            store.add_health([(0, offset, 100, beat(worker, offset))])
            assert store.has_news == is_news
            store.flush()
            assert not store.has_news
        store.add_looks(looks(1, 1))
        assert store.has_news


def test_a_look_before_there_are_watermarks_is_as_of_no_time(tmp_path: Path, looks: Looks) -> None:
    ((partition, offset, published, value),) = looks(1, 1)
    early = value.replace(b'"time":1700000000001', b'"time":0')
    with Store(tmp_path) as store:
        store.add_looks([(partition, offset, published, early)])
        store.flush()

        for table in ("results", "results_recent"):
            assert query(store, f"SELECT DISTINCT time, look FROM {table}") == [(None, 1)]


def test_sums_keep_every_digit(tmp_path: Path, looks: Looks) -> None:
    with Store(tmp_path) as store:
        store.add_looks(looks(1, 1))
        store.flush()

        assert query(store, "SELECT DISTINCT sum, sum_squares, control_sum FROM results") == [(1, 2**100 + 2, -(2**40))]


def test_only_what_is_newer_than_a_runs_last_look_counts(tmp_path: Path, looks: Looks) -> None:
    with Store(tmp_path) as store:
        store.add_looks(looks(5, 6))  # the topic is compacted before 5
        store.add_looks(looks(6, 6, offset=2))  # a zombie's
        store.flush()
    with Store(tmp_path) as store:
        store.add_looks(looks(8, 8, offset=3))  # compaction was faster than this reader, and took 7 away
        store.add_looks([(0, 4, 1, b"{}"), (0, 5, 1, None)])
        store.add_looks(looks(7, 7, offset=6))
        store.add_looks(looks(1, 1, offset=7, run="exp-2"))
        store.flush()

        assert query(store, "SELECT DISTINCT run, look FROM results_recent ORDER BY ALL") == [
            ("exp-1", 5),
            ("exp-1", 6),
            ("exp-1", 8),
            ("exp-2", 1),
        ]
        assert store.ignored_looks == 2
        assert store.offsets() == {("results", 0): 8}


def test_a_dead_letter_is_kept_once_for_each_source_and_reason(tmp_path: Path) -> None:
    def dead_letter(
        offset: int, index: int | None, value: bytes | None, source: str | None = None, reason: Reason = "not json"
    ) -> tuple[list[tuple[str, bytes]], bytes | None]:
        made = DeadLetter(
            reason=reason,
            detail="d",
            topic="events",
            partition=1,
            offset=offset,
            index=index,
            append_time=5,
            source=source,
            value=value,
        )
        return to_headers(made), value

    first, second, null = dead_letter(7, None, b"\xff" * 600), dead_letter(7, 1, b"{"), dead_letter(8, None, None)
    with Store(tmp_path) as store:
        store.add_dead_letters([(0, 0, 10, *first), (0, 1, 11, *second), (0, 2, 12, *first)])
        store.flush()
        store.add_dead_letters([(1, 0, 13, *second), (1, 1, 14, *null), (1, 2, 15, [], b"foreign")])
        store.flush()

        assert query(
            store, 'SELECT "offset", "index", "bytes", length("value") FROM dead_letters ORDER BY rejected'
        ) == [
            (7, None, 600, 2000),
            (7, 1, 1, 1),
            (8, None, None, None),
            (2, None, 7, 7),
        ]
        assert query(store, "SELECT reason, letters FROM dead_letter_totals ORDER BY reason") == [
            ("foreign record", 1),
            ("not json", 3),
        ]

        ours, seen, orders, again = (
            dead_letter(9, None, b"{", source, "no unit") for source in (None, "seen", "orders", "seen")
        )
        late = dead_letter(9, None, b"{", "seen", "future")
        store.add_dead_letters([(2, i, 20 + i, *letter) for i, letter in enumerate((ours, seen, orders, again, late))])
        store.flush()
        assert query(store, 'SELECT source, reason FROM dead_letters WHERE "offset" = 9 ORDER BY rejected') == [
            (None, "no unit"),
            ("seen", "no unit"),
            ("orders", "no unit"),
            ("seen", "future"),
        ]


def test_a_flood_of_dead_letters_is_counted_and_bounded(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for start in range(0, 25_000, 5_000):
            store.add_dead_letters([(0, offset, offset, [], b"x") for offset in range(start, start + 5_000)])
            store.flush()

        assert query(store, 'SELECT count(*), min("offset"), max("offset") FROM dead_letters') == [
            (DEAD_LETTERS_KEPT, 15_000, 24_999)
        ]
        assert query(store, "SELECT letters FROM dead_letter_totals") == [(25_000,)]


def test_a_notification_is_kept_once_and_the_newest_word_on_each_place(tmp_path: Path) -> None:
    def told(number: int) -> bytes:
        return msgspec.json.encode(
            Notification(
                id=f"n{number}",
                rule="growth",
                event="split broken",
                subject="flag/checkout",
                experiment="checkout",
                time=1_000,
                sentence="The split is broken.",
                numbers={"srm_running_p_value": 0.001},
            )
        )

    def handed(outcome: Literal["delivered", "failed"], attempts: int) -> bytes:
        over = HandedOver(id="n1", rule="growth", place="mail", outcome=outcome, attempts=attempts, time=attempts)
        return msgspec.json.encode(over)

    with Store(tmp_path) as store:
        store.add_notifications([(0, 0, 7, told(1)), (0, 1, 8, told(2)), (0, 2, 9, told(1)), (0, 3, 9, b"{}")])
        store.add_deliveries([(0, 0, 7, handed("failed", 1)), (0, 1, 7, handed("failed", 2))])
        store.flush()
        store.add_notifications([(1, 0, 10, told(2)), (0, 0, 7, told(1))])
        store.add_deliveries([(0, 2, 7, handed("delivered", 3))])
        store.flush()

        assert query(store, "SELECT id, epoch_ms(published), numbers->>'srm_running_p_value' FROM notifications") == [
            ("n1", 7, "0.001"),
            ("n2", 8, "0.001"),
        ]
        assert query(store, "SELECT id, place, outcome, attempts FROM deliveries") == [("n1", "mail", "delivered", 3)]


def test_what_was_told_is_bounded(tmp_path: Path) -> None:
    word = Notification(id="", rule="r", event="lag", subject="stage/storage", time=1, sentence="")
    with Store(tmp_path) as store:
        for start in range(0, 15_000, 5_000):
            some = range(start, start + 5_000)
            told = [msgspec.json.encode(msgspec.structs.replace(word, id=f"{offset}")) for offset in some]
            store.add_notifications([(0, offset, offset, value) for offset, value in zip(some, told, strict=True)])
            store.flush()

        assert query(store, "SELECT count(*), min(id::INT), max(id::INT) FROM notifications") == [
            (NOTIFICATIONS_KEPT, 5_000, 14_999)
        ]


def test_the_newest_health_of_each_worker_is_kept_and_a_silent_one_forgotten(
    tmp_path: Path, beat: Callable[[str, int], bytes]
) -> None:
    hour = 3_600_000
    with Store(tmp_path) as store:
        store.add_health([(0, 0, 100, beat("a", 1)), (0, 1, 200, beat("b", 1)), (0, 2, hour, beat("a", 2))])
        store.flush()
        both = set(store.beats)
        store.add_health([(0, 3, hour + 300, beat("a", 3))])
        store.flush()
    with Store(tmp_path) as store:
        assert both == {("assignment", "a"), ("assignment", "b")}
        assert {key: beat.append_time for key, beat in store.beats.items()} == {("assignment", "a"): hour + 300}


def test_history_moves_into_files_and_keeps_every_digit(
    tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RECENT_ROWS", 40)
    monkeypatch.setattr(history, "FILE_ROWS", 100)
    with Store(tmp_path) as store:
        for number in range(1, 76):
            store.add_looks(looks(number, number, offset=number))
            store.flush()

        files = [str(path) for path in store.history_files()]
        ((rows, digits),) = query(store, f"SELECT count(*), sum(sum_squares::HUGEINT) FROM read_parquet({files})")
        ((recent,),) = query(store, "SELECT count(*) FROM results_recent")

    assert len(files) == 5  # the empty one, three of 80 rows, one of 40
    assert (rows, recent) == (280, 20)
    assert digits == sum(4 * (2**100 + 1 + number) for number in range(1, 71))


def test_a_second_process_is_told_who_owns_the_store(tmp_path: Path) -> None:
    with (
        Store(tmp_path),
        pytest.raises(OwnerError, match=f"belongs to process {os.getpid()} on .*PEEKPROOF_DATA"),
    ):
        Store(tmp_path)

    Store(tmp_path).close()


WRITER = """
import sys
from pathlib import Path
from typing import Literal
sys.path.insert(0, {root!r})
from pipeline.storage.store import Store
import importlib.util
spec = importlib.util.spec_from_file_location("made", {made!r})
made = importlib.util.module_from_spec(spec); spec.loader.exec_module(made)
from pipeline.storage import history as module
module.RECENT_ROWS = 200
store = Store(Path({directory!r}))
begin = store.offsets().get(("results", 0), 0)
for number in range(begin + 1, 100_000):
    store.add_looks([(0, number - 1, 1_700_000_005_000 + number, made.look(number))])
    if number % 7 == 0:
        store.flush()
        print("flushed", flush=True)
"""


def test_kills_in_mid_write_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    here = Path(__file__)
    script = WRITER.format(
        root=str(here.parents[3]), made=str(here.parents[1] / "conftest.py"), directory=str(tmp_path)
    )
    chance = random.Random(1)
    reached = []
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(5, 12)):
                assert writer.stdout.readline() == b"flushed\n"
            time.sleep(chance.uniform(0, 0.03))  # into the next flush
            writer.send_signal(signal.SIGKILL)
        with Store(tmp_path) as store:
            offset = store.offsets().get(("results", 0), 0)
            reached.append(offset)
            files = [str(path) for path in store.history_files()]
            rows = query(
                store,
                "SELECT look, count(*) FROM (SELECT look FROM results_recent UNION ALL "
                f"SELECT look FROM read_parquet({files})) GROUP BY look ORDER BY look",
            )
            assert rows == [(number, 4) for number in range(1, offset + 1)]
            assert query(store, "SELECT DISTINCT look FROM results") == ([(offset,)] if offset else [])

    assert reached == sorted(reached)
    assert reached[-1] > 100
