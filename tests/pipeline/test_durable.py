"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from pipeline import durable


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with durable.writing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"whole")
        assert not (tmp_path / "file").exists()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"whole")]


def test_a_file_that_cannot_be_written_leaves_nothing_and_what_was_there_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")

    def fail() -> None:
        with durable.writing(tmp_path / "file") as temporary:
            temporary.write_bytes(b"ha")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"before")]
