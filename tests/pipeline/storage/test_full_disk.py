"""A disk that is full: a small one of the test's own, in a mount namespace, where the system lets us have one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import durable
from pipeline.durable import DiskFullError

ON_A_SMALL_DISK = """
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipeline.storage.archive import Archive
from pipeline.storage.archived import read
from pipeline.durable import DiskFullError
from pipeline.http.callers.keys import Keys
from pipeline.storage.restoring import restored_store
from pipeline.storage.snapshot import publish
from tests.pipeline.conftest import look
from tests.pipeline.slices import records

data = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", data], check=True)
filler = data / "filler"


def fill(left):
    filler.unlink(missing_ok=True)
    free = os.statvfs(data).f_bavail * os.statvfs(data).f_frsize
    filler.write_bytes(bytes(max(0, free - left)))


def looks(first, last):
    return [(0, number - 1, 5_000, look(number, metrics=20)) for number in range(first, last + 1)]


def refused(do, *arguments):
    with pytest.raises(DiskFullError, match="there is no room left for") as told:
        do(*arguments)
    assert "\\n" not in str(told.value)


def files():
    return {path for path in data.rglob("*") if path.is_file() and path != filler}


# A store that there is: what was not written comes again.
store = restored_store(data / "store", data / "archive")
store.add_looks(looks(1, 20))
store.flush()
publish(store, data / "peekproof.duckdb", data / "archive")
before = files()
published = 0
for left in (0, 4_096, 65_536, *range(500_000, 6_000_000, 500_000)):
    fill(left)
    try:
        publish(store, data / "peekproof.duckdb", data / "archive")
        published += 1
    except DiskFullError as error:
        assert "there is no room left for" in str(error) and "\\n" not in str(error)
    assert files() == before, files() ^ before
    with duckdb.connect(str(data / "peekproof.duckdb"), read_only=True) as snapshot:
        assert snapshot.execute("SELECT count(*), max(look) FROM results").fetchall() == [(40, 20)]
        assert snapshot.execute("SELECT count(*) FROM results_history").fetchall() == [(800,)]
        assert snapshot.execute("SELECT count(*) FROM about").fetchall() == [(1,)]
assert 0 < published < 10, published
fill(0)
store.add_looks(looks(21, 400))
with pytest.raises(DiskFullError), store.told():
    store.flush()
store.close()
filler.unlink()
store = restored_store(data / "store", data / "archive")
assert store.restored is None
reached = store.offsets()["results", 0]
store.add_looks(looks(reached + 1, 400))
store.flush()
publish(store, data / "peekproof.duckdb", data / "archive")
store.close()
with duckdb.connect(str(data / "peekproof.duckdb"), read_only=True) as snapshot:
    assert snapshot.execute("SELECT count(DISTINCT look) FROM results_history").fetchall() == [(400,)]

# A store that there is not yet.
fill(8_192)
refused(restored_store, data / "new", data / "archive")
assert [path.name for path in (data / "new").rglob("*") if path.is_file()] == ["lock"]
filler.unlink()
with restored_store(data / "new", data / "archive") as new:
    assert new.restored is None

# The archive: the worker ends, and the next one reads the open interval again.
slice = records("events", 0, 0, [os.urandom(1_000) for _ in range(1_000)], append_time=5_000)
archive = Archive(data / "archive", 1_000)
fill(100_000)
archive.append(slice)
refused(archive.advance, "events", 0, 10_000)
assert [*(data / "archive" / "events" / "0").iterdir()] == []
filler.unlink()
archive = Archive(data / "archive", 1_000)
assert archive.start("events", 0, 0) == 0
archive.append(slice)
archive.advance("events", 0, 10_000)
assert sum(1 for _ in read(data / "archive", "events", 0)) == 1_000

# Keys.
Keys(data).create("admin", "ann")
fill(0)
refused(Keys(data).create, "admin", "bob")
assert {path.name for path in data.iterdir() if "keys" in path.name} == {"keys.json"}
filler.unlink()
Keys(data).create("admin", "bob")
assert [key.name for key in Keys(data).all()] == ["ann", "bob"]
print("everything went on")
"""

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def has_namespaces() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*NAMESPACE, "true"], check=False).returncode


@pytest.mark.skipif(not has_namespaces(), reason="the system gives no mount namespace")
def test_a_full_disk_is_told_leaves_nothing_half_written_and_everything_goes_on(tmp_path: Path) -> None:
    answer = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", ON_A_SMALL_DISK, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )

    assert answer.stdout == "everything went on\n", answer.stderr


def test_every_librarys_word_for_a_full_disk_is_known() -> None:
    for words in (
        "[Errno 28] No space left on device: '/data/x'",  # Python, Arrow
        'IO Error: Could not write file "/data/x": No space left on device',  # DuckDB
        "[Errno 122] Disk quota exceeded",
    ):
        with pytest.raises(DiskFullError, match="no room left for /data/x: free some"), durable.room_for("/data/x"):
            raise OSError(words)

    with pytest.raises(OSError, match="Permission"), durable.room_for("/data/x"):
        raise OSError("[Errno 13] Permission denied")
