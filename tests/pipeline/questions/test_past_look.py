"""Looks that the archive alone holds, found by number and by time, wherever its files begin and end."""

from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.questions.past_look import archived_look, newest_archived
from pipeline.storage.archive import Archive
from schemas.topics import RESULTS
from tests.pipeline.conftest import look
from tests.pipeline.slices import records

MINUTE = 60_000
RUN = ("checkout", "exp-1")
LOOKS = range(5, 46)  # the archive lacks the first ones


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each look of the run two minutes behind the one before, then for an hour those of another; then the 46th."""
    directory = tmp_path_factory.mktemp("archive")
    archive = Archive(directory, MINUTE, max_records=3)
    values = [(number * 2 * MINUTE, look(number, "exp-1")) for number in LOOKS]
    values += [((92 + number) * MINUTE, look(number, "exp-2")) for number in range(1, 60)]
    values += [(200 * MINUTE, b"no look"), (201 * MINUTE, look(46, "exp-1")), (300 * MINUTE, look(60, "exp-2"))]
    for offset, (time, value) in enumerate(values):
        archive.append(records(RESULTS, 3, offset, [value], time))
    archive.advance(RESULTS, 3, 400 * MINUTE)
    return directory


def test_a_look_is_found_by_its_number(archive: Path) -> None:
    found = [archived_look(archive, RUN, number, 60) for number in (*LOOKS, 46)]

    assert found == [look(number, "exp-1") for number in (*LOOKS, 46)]
    assert [archived_look(archive, RUN, number, 60) for number in (1, 4, 47)] == [None] * 3
    assert archived_look(archive, ("checkout", "exp-9"), 7, 60) is None
    assert archived_look(archive / "none", RUN, 7, 60) is None
    with pytest.raises(PeekproofError, match="ask again"):
        archived_look(archive, RUN, 7, 0)


def test_the_newest_look_by_a_time_is_found_with_the_number_of_the_next_one(archive: Path) -> None:
    def newest(minute: int) -> tuple[int, int | None] | None:
        found = newest_archived(archive, RUN, minute * MINUTE + 5, 60)
        return found and (found.number, found.following)

    assert newest(9) is None
    assert [newest(minute) for minute in (10, 11, 12, 90)] == [(5, 6), (5, 6), (6, 7), (45, 46)]
    assert [newest(minute) for minute in (150, 200, 201, 999)] == [(45, 46), (45, 46), (46, None), (46, None)]
