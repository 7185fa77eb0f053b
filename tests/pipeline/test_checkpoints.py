"""Checkpoints on a real directory."""

import os
import time
from pathlib import Path

import pytest

from pipeline.checkpoints import Checkpoints
from pipeline.durable import ABANDONED


def test_the_newest_checkpoint_is_the_one_with_the_highest_offset(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.write(3, 900, b"later")
    checkpoints.write(3, 1000, b"last")
    checkpoints.write(3, 20, b"a zombie's")

    assert checkpoints.newest(3) == (1000, b"last")


def test_partitions_do_not_see_each_others_checkpoints(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).write(1, 5, b"one")

    assert Checkpoints(str(tmp_path)).newest(1) == (5, b"one")
    assert Checkpoints(str(tmp_path)).newest(11) is None


def test_old_checkpoints_and_unfinished_writes_do_not_pile_up(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    (tmp_path / "0").mkdir()
    of_the_dead, of_a_zombie = (tmp_path / "0" / f"{n:020d}.arrow.abc.tmp" for n in (3, 4))
    for path, age in ((of_the_dead, ABANDONED + 60), (of_a_zombie, ABANDONED - 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))

    for offset in range(10):
        checkpoints.write(0, offset, b"state")

    assert {path.name for path in (tmp_path / "0").iterdir()} == {
        *(f"{n:020d}.arrow" for n in (8, 9)),
        of_a_zombie.name,
    }


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "0" / f"{5:020d}.arrow").mkdir(parents=True)  # nothing can be renamed to it

    with pytest.raises(OSError, match="directory"):
        Checkpoints(str(tmp_path)).write(0, 5, b"state")

    assert [path.name for path in (tmp_path / "0").iterdir()] == [f"{5:020d}.arrow"]


def test_an_unfinished_write_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.write(0, 7, b"whole")
    (tmp_path / "0" / f"{9:020d}.arrow.deadbeef.tmp").write_bytes(b"half")

    assert checkpoints.newest(0) == (7, b"whole")
