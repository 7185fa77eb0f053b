"""A store that is damaged: set aside, made anew from the archive and from what the topic gives, and told."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipeline.owner import OwnerError
from pipeline.storage import history as history_module
from pipeline.storage.archive import Archive
from pipeline.storage.restoring import restored_store, whole_store
from pipeline.storage.snapshot import publish
from pipeline.storage.soundness import EMPTY, DamageError, StoreError, UnfinishedStoreError
from pipeline.storage.store import Store
from tests.pipeline.conftest import look
from tests.pipeline.slices import records

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]
LAST = 30


@pytest.fixture
def data(tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a history in files, beside an archive that lacks the newest looks."""
    monkeypatch.setattr(history_module, "RECENT_ROWS", 40)
    with Store(tmp_path / "store") as store:
        for number in range(1, LAST + 1):
            store.add_looks(looks(number, number, offset=number - 1))
            store.flush()
    archive_looks(tmp_path, 1, LAST - 5)
    return tmp_path


def archive_looks(data: Path, first: int, last: int) -> None:
    archive = Archive(data / "archive", 1_000)
    values = [look(number) for number in range(first, last + 1)]
    archive.append(records("results", 0, first - 1, values, append_time=1_700_000_000_000))
    archive.advance("results", 0, 1 << 50)


def history(store: Store) -> list[tuple[str, int]]:
    """Every look of the history, once for each of its four cells."""
    files = [str(path) for path in store.history_files()]
    return store.connection.execute(
        f"SELECT run, look FROM (SELECT run, look FROM results_recent UNION ALL SELECT run, look FROM "
        f"read_parquet({files})) GROUP BY ALL HAVING count(*) = 4 ORDER BY ALL"
    ).fetchall()


def newest_history(data: Path) -> Path:
    with Store(data / "store") as store:
        return store.history_files()[-1]  # others lie there for those who read them yet


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda data: cut(data / "store" / "private.duckdb"),
    "empty": lambda data: (data / "store" / "private.duckdb").write_bytes(b""),
    "foreign": lambda data: (data / "store" / "private.duckdb").write_bytes(b"hello" * 10_000),
    "gone": lambda data: (data / "store" / "private.duckdb").unlink(),
    "history gone": lambda data: newest_history(data).unlink(),
    "history cut": lambda data: cut(newest_history(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_set_aside_and_made_anew(data: Path, looks: Looks, damage: str) -> None:
    DAMAGES[damage](data)
    left = {path.name for path in (data / "store").rglob("*.*") if path.name not in {"lock", EMPTY}}
    assert whole_store(data / "store", data / "archive") is None

    with restored_store(data / "store", data / "archive") as store:
        (aside,) = (data / "store").glob("damaged-*")
        assert {path.name for path in aside.rglob("*.*")} == left
        assert store.restored is not None
        assert str(data / "store") in store.restored
        assert f"set aside in {aside}" in store.restored
        assert "no look is lost" in store.restored

        assert store.offsets() == {("results", 0): LAST - 5}
        store.add_looks(looks(LAST - 4, LAST, offset=LAST - 5))
        store.flush()
        assert history(store) == [("exp-1", number) for number in range(1, LAST + 1)]
        assert store.connection.execute("SELECT DISTINCT look FROM results").fetchall() == [(LAST,)]
        publish(store, data / "peekproof.duckdb", data / "archive")
        told = store.restored

    whole = whole_store(data / "store", data / "archive")  # once
    assert whole is not None
    assert whole.restored == told
    whole.close()
    with duckdb.connect(str(data / "peekproof.duckdb"), read_only=True) as snapshot:
        assert snapshot.execute("SELECT restored FROM about").fetchall() == [(told,)]


def test_a_flipped_bit_is_noticed_or_changes_nothing(data: Path) -> None:
    with Store(data / "store") as store:
        expected = history(store)
        store.connection.execute("CHECKPOINT")
    file = data / "store" / "private.duckdb"
    whole = file.read_bytes()
    chance = random.Random(1)
    noticed = 0
    for _ in range(30):
        place = chance.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        try:
            with Store(data / "store") as store:
                assert history(store) == expected
        except DamageError:
            noticed += 1
        file.with_name("private.duckdb.wal").unlink(missing_ok=True)
    assert noticed


def test_a_damaged_write_ahead_log_is_set_aside_with_its_file(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "killed" / "store"
    with Store(data / "store") as store:
        store.connection.execute("UPDATE ignored SET looks = 7")
        shutil.copytree(data / "store", copy)  # as a kill would leave it
    wal = copy / "private.duckdb.wal"
    content = bytearray(wal.read_bytes())
    content[len(content) // 2] ^= 1
    wal.write_bytes(content)

    with restored_store(copy, data / "archive") as store:
        assert store.ignored_looks == 0
        assert "WAL" in str(store.restored)
        assert [path.name for path in copy.glob("damaged-*/*.wal")] == ["private.duckdb.wal"]


def test_a_store_that_is_gone_altogether_takes_what_the_archive_has(data: Path) -> None:
    shutil.rmtree(data / "store")

    with restored_store(data / "store", data / "archive") as store:
        assert history(store) == [("exp-1", number) for number in range(1, LAST - 4)]
        assert "there is no store in" in str(store.restored)


def test_a_new_deployment_was_never_damaged(tmp_path: Path) -> None:
    with restored_store(tmp_path / "store", tmp_path / "archive") as store:
        assert store.restored is None


def test_what_only_the_topic_has_from_before_the_archive_is_kept_and_told(data: Path, looks: Looks) -> None:
    shutil.rmtree(data / "archive")
    archive_looks(data, 11, LAST)
    (data / "store" / "private.duckdb").unlink()
    with restored_store(data / "store", data / "archive") as store:
        assert "the archive begins at 2023-11-14 22:13 UTC" in str(store.restored)
        assert store.offsets() == {}  # so the topic is read from where it begins
        store.add_looks(looks(9, 9, offset=3, run="exp-0"))  # what compaction left of a run that is over
        store.add_looks(looks(10, 10, offset=9))
        store.add_looks(looks(11, 12, offset=10))
        store.flush()
    with restored_store(data / "store", data / "archive") as store:
        store.add_looks(looks(13, LAST + 1, offset=12))
        store.flush()

        assert history(store) == [("exp-0", 9), *(("exp-1", number) for number in range(11, LAST + 2))]
        assert store.ignored_looks == 0


def test_without_an_archive_it_says_what_the_topic_keeps(data: Path) -> None:
    cut(data / "store" / "private.duckdb")

    with restored_store(data / "store", data / "no archive") as store:
        assert "there is no archive, so of looks results_history has what their topic keeps" in str(store.restored)


def test_a_restoration_that_was_cut_short_begins_again_and_says_what_happened_first(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(data / "store" / "private.duckdb")
    monkeypatch.setattr("pipeline.storage.restoring.BATCH", 10)
    flush, flushed = Store.flush, []

    def killed(store: Store) -> None:
        flush(store)
        flushed.append(1)
        if len(flushed) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "flush", killed)
    with pytest.raises(KeyboardInterrupt):
        restored_store(data / "store", data / "archive")
    with pytest.raises(UnfinishedStoreError):
        Store(data / "store")

    with restored_store(data / "store", data / "archive") as store:
        assert history(store) == [("exp-1", number) for number in range(1, LAST - 4)]
        assert "is damaged" in str(store.restored)
    assert len([*(data / "store").glob("damaged-*")]) == 1


HOLD = "import sys, duckdb; held = duckdb.connect(sys.argv[1], read_only=True); print('held', flush=True); input()"


def test_what_somebody_else_has_open_is_not_damaged(data: Path) -> None:
    file = data / "store" / "private.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=r"cannot be opened .*Could not set lock"):
            restored_store(data / "store", data / "archive")
        holder.communicate("\n")

    with Store(data / "store"), pytest.raises(OwnerError):
        restored_store(data / "store", data / "archive")
    with restored_store(data / "store", data / "archive") as store:
        assert store.restored is None
