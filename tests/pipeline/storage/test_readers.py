"""Who may read what a deployment keeps on disk, asked of the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Something of everything that a deployment keeps, made as its processes make it.
EVERYTHING = """
import sys
from pathlib import Path
from pipeline.storage.archive import Archive
from pipeline.storage.checkpoints import Checkpoints
from pipeline.http.callers.keys import Keys
from pipeline.storage.readers import admit
from pipeline.settings import Settings
from pipeline.storage.snapshot import publish
from pipeline.storage.store import Store
from pipeline.processes.supervisor import SupervisedProcess
from tests.pipeline.slices import records
settings = Settings.read()
admit(settings)
archive = Archive(settings.data / "archive", 1_000)
archive.append(records("events", 0, 0, [b"{}"] * 3))
archive.advance("events", 0, 1 << 50)
Checkpoints(settings.checkpoint_location).write(0, 1, b"state", "cluster", "log")
Keys(settings.data).create("admin", "ann")
(settings.data / "logs").mkdir()
SupervisedProcess("any", 0, ["no such command"], settings.data / "logs", {}).process.wait()
with Store(settings.data / "store") as store:
    publish(store, settings.snapshot, settings.data / "archive")
    for path in settings.data.rglob("*"):
        print(f"{path.stat().st_mode & 0o777:o} {path.relative_to(settings.data)}")
"""


def kept(data: Path, **environment: str) -> dict[str, int]:
    """The mode of everything that is there after a deployment has kept something of everything."""
    given = os.environ | {"PEEKPROOF_DATA": str(data)} | environment
    command = [sys.executable, "-c", f"import os; os.umask(0o022)\n{EVERYTHING}"]
    answer = subprocess.run(
        command, capture_output=True, text=True, env=given, cwd=Path(__file__).parents[3], check=False
    )
    assert answer.returncode == 0, answer.stderr
    return {name: int(mode, 8) for mode, _, name in (line.partition(" ") for line in answer.stdout.splitlines())}


def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    modes = kept(tmp_path / "data")

    assert {"archive", "store", "checkpoints", "logs", "peekproof.duckdb", "keys.json"} <= modes.keys()
    assert {name for name, mode in modes.items() if mode & 0o077} == set()
    assert modes["peekproof.duckdb"] == 0o400
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("readers", "bits"), [("group", 0o070), ("everybody", 0o077)])
def test_analysts_may_where_the_deployment_says_so_but_keys_and_private_store_are_its_own(
    tmp_path: Path, readers: str, bits: int
) -> None:
    modes = kept(tmp_path / "data", PEEKPROOF_READERS=readers)

    owners = {name for name, mode in modes.items() if mode & bits == 0}
    assert owners == {"keys.json", "store/private.duckdb"}
    assert {name for name, mode in modes.items() if mode & 0o022} == set()
    assert {name for name, mode in modes.items() if mode & ~bits & 0o077} == set()


def test_what_everybody_could_read_before_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    kept(data, PEEKPROOF_READERS="everybody")
    inherited = data / "archive"
    inherited.chmod(0o2755)  # so that files are of the directory's group

    code = "from pipeline.storage.readers import admit; from pipeline.settings import Settings; admit(Settings.read())"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PEEKPROOF_DATA": str(data)}, check=True)

    assert inherited.stat().st_mode & 0o7777 == 0o2700
    assert {path.name for path in data.iterdir() if path.is_dir() and path.stat().st_mode & 0o077} == set()
