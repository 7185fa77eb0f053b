"""What no reader can use is set aside: told once, counted, and nothing else of it."""

from collections import Counter

import pytest

from pipeline.kafka.set_aside import REMEMBERED, SetAside
from schemas.decoding import NoMessageError, decode
from schemas.health import WorkerHealth


def test_a_record_is_told_once_with_its_place_and_why():
    told, counted = [], Counter()
    aside = SetAside(told.append, lambda what, number: counted.update({what: number}))

    for offset in (7, 9, 7, 8):
        with aside.unless_ours("health", 0, offset):
            decode(b'{"a":1}', WorkerHealth)

    assert told[0].startswith("the record at offset 7 of health/0 is set aside: Object missing required field `stage`")
    assert [text.split()[4] for text in told] == ["7", "9", "8"]
    assert counted == {"set aside: health": 3}
    assert aside.counts == {"health": 3}


def test_what_a_record_of_ours_breaks_is_raised():
    aside = SetAside()

    with pytest.raises(ValueError, match="a gap"), aside.unless_ours("units", 0, 1):
        raise ValueError("a gap")
    assert not aside.counts


def test_those_that_were_told_are_remembered_within_bounds():
    told = []
    aside = SetAside(told.append)

    for offset in range(3 * REMEMBERED):
        aside.add("health", 0, offset, "-")
    aside.add("health", 0, 3 * REMEMBERED - 1, "-")

    assert len(told) == 3 * REMEMBERED
    assert len(aside._told) == REMEMBERED


ANYTHING = [None, b"", b"hello", b"null", b"[]", b"7", b'{"a":1}', b"\xff\xfe", b'"\xff"', b"[" * 100_000, b"1e999"]
HUGE = b'{"stage":"a","worker":"b","started":' + b"9" * 400 + b"}"


@pytest.mark.parametrize("value", [*ANYTHING, b'{"stage":"\xff"}', HUGE])
def test_what_does_not_decode_is_no_message(value):
    with pytest.raises(NoMessageError):
        decode(value, WorkerHealth)
