"""Checkpoints on a real directory."""

import os
import time
from pathlib import Path

import pytest

from evaluation.metrics.packing import pack
from pipeline.durable import ABANDONED
from pipeline.errors import PeekproofError
from pipeline.storage.checkpoints import Checkpoints

LOG = ("cluster", "log")


def state(checkpoints: Checkpoints, partition: int) -> tuple[int, bytes] | None:
    """The newest state, and the offset that it reaches."""
    found = checkpoints.newest(partition)
    return (found.offset, found.state) if found else None


@pytest.fixture(params=["directory", "file", "mock"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A directory, by its path and by its URI, and a store that is none: in Arrow's memory."""
    directory = tmp_path / "a name"
    uri = directory.as_uri()
    return {"directory": str(directory), "file": uri, "mock": uri.replace("file", "mock", 1)}[request.param]


def test_the_newest_checkpoint_is_the_one_with_the_highest_offset(location: str) -> None:
    checkpoints = Checkpoints(location)
    checkpoints.write(3, 900, b"later", *LOG)
    checkpoints.write(3, 1000, b"last", *LOG)
    checkpoints.write(3, 20, b"a zombie's", *LOG)

    assert state(checkpoints, 3) == (1000, b"last")


def test_partitions_do_not_see_each_others_checkpoints(location: str) -> None:
    checkpoints = Checkpoints(location)
    checkpoints.write(1, 5, b"one", *LOG)

    assert state(checkpoints, 1) == (5, b"one")
    assert checkpoints.newest(11) is None


def test_another_process_finds_them(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).write(1, 5, b"one", *LOG)

    assert state(Checkpoints(tmp_path.as_uri()), 1) == (5, b"one")


def test_only_the_newest_are_kept(location: str) -> None:
    checkpoints = Checkpoints(location)
    for offset in range(10):
        checkpoints.write(0, offset, b"state", *LOG)

    assert sorted(info.base_name for info in checkpoints._infos(0)) == [f"{n:020d}.arrow" for n in (8, 9)]


def test_a_state_made_anew_stands_alone_whatever_reached_further(location: str) -> None:
    checkpoints = Checkpoints(location)
    for offset in (20, 30):
        checkpoints.write(0, offset, b"of another version", *LOG)

    checkpoints.replace(0, 10, b"anew", *LOG)

    assert state(checkpoints, 0) == (10, b"anew")
    assert [info.base_name for info in checkpoints._infos(0)] == [f"{10:020d}.arrow"]


def test_what_names_no_store_is_said_with_the_way_out() -> None:
    with pytest.raises(PeekproofError, match=r"checkpoints is 's4://bucket/x': .*name a directory, or a bucket"):
        Checkpoints("s4://bucket/x")


def test_unfinished_writes_do_not_pile_up(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    (tmp_path / "0").mkdir()
    of_the_dead, of_a_zombie = (tmp_path / "0" / f"{n:020d}.arrow.abc.tmp" for n in (3, 4))
    for path, age in ((of_the_dead, ABANDONED + 60), (of_a_zombie, ABANDONED - 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))

    checkpoints.write(0, 9, b"state", *LOG)

    assert {path.name for path in (tmp_path / "0").iterdir()} == {f"{9:020d}.arrow", of_a_zombie.name}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "0" / f"{5:020d}.arrow").mkdir(parents=True)  # nothing can be renamed to it

    with pytest.raises(OSError, match="directory"):
        Checkpoints(str(tmp_path)).write(0, 5, b"state", *LOG)

    assert [path.name for path in (tmp_path / "0").iterdir()] == [f"{5:020d}.arrow"]


def test_an_unfinished_write_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.write(0, 7, b"whole", *LOG)
    (tmp_path / "0" / f"{9:020d}.arrow.deadbeef.tmp").write_bytes(b"half")

    assert state(checkpoints, 0) == (7, b"whole")


def test_a_checkpoint_says_which_log_its_offset_belongs_to(location: str) -> None:
    checkpoints = Checkpoints(location)
    checkpoints.write(0, 7, b"state", "one", "another")

    newest = checkpoints.newest(0)

    assert newest is not None
    assert (newest.cluster, newest.log) == ("one", "another")


def test_no_flipped_bit_and_no_cut_goes_unnoticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.write(0, 7, b"older", *LOG)
    path = tmp_path / "0" / f"{9:020d}.arrow"
    checkpoints.write(0, 9, b"newer", *LOG)
    whole = path.read_bytes()
    bits = [(at, bit) for at in range(len(whole)) for bit in range(8)]
    flipped = [whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :] for at, bit in bits]
    damaged = [*flipped, *(whole[:size] for size in range(len(whole))), whole + b" "]

    for content in damaged:
        path.write_bytes(content)
        assert state(checkpoints, 0) == (7, b"older")

    assert len(caplog.records) == len(damaged)
    assert f"{path} of units/0 is damaged" in caplog.text
    assert (tmp_path / "0" / f"{9:020d}.damaged").exists()


def test_a_foreign_file_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.write(0, 7, b"state", *LOG)
    for name in ("notes.arrow", "9.arrow", "x", f"{9:020d}.arrow.bak"):
        (tmp_path / "0" / name).write_bytes(b"foreign")

    assert state(checkpoints, 0) == (7, b"state")


def test_one_of_an_earlier_version_names_the_command_that_goes_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / f"{9:020d}.arrow").write_bytes(pack({}, {}))

    with pytest.raises(
        PeekproofError, match=r"000009.arrow was written by an earlier version: `peekproof recover rebuild`"
    ):
        checkpoints.newest(0)
