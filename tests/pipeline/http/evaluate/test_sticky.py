"""What a server reads of the assignments that servers made, without a broker."""

import msgspec
import numpy as np
import pytest

from pipeline.http.evaluate.sticky import Sticky
from schemas.assignment import Assignment
from schemas.records import Records


def assigned(flag: str, unit: str, variant: str, origin: str = "http/a/1") -> bytes:
    assignment = Assignment(
        flag_key=flag,
        variant=variant,
        reason="segment",
        experiment_key="exp-1",
        user_id="somebody",
        unit=unit,
        payload={"text": 'a "quoted" one', "unit": "no"},
        time=1,
        origin=origin,
    )
    return msgspec.json.encode(assignment)


def read(*values: bytes | None) -> Sticky:
    length = np.array([-1 if value is None else len(value) for value in values])
    start = np.cumsum(np.maximum(length, 0)) - np.maximum(length, 0)
    n = len(values)
    data = memoryview(b"".join(value or b"" for value in values))
    sticky = Sticky()
    sticky.read(Records("assignments", 0, 0, n, np.arange(n), np.zeros(n, np.int64), start, length, data))
    return sticky


@pytest.mark.parametrize("unit", ["ann", "Zoë", 'with "quotes"', "with/slash"])
def test_of_a_unit_the_newest_assignment_counts(unit: str):
    sticky = read(
        assigned("button", unit, "old"),
        assigned("button", "bob", "other"),
        assigned("banner", unit, "elsewhere"),
        assigned("button", unit, "new"),
    )

    assert sticky.arms({"button": unit, "banner": unit}) == [("exp-1", "new"), ("exp-1", "elsewhere")]
    assert sticky.arms({"button": "carl"}) == [None]


def test_what_no_server_assigned_is_passed_over():
    deep = b'{"origin": "http/a/1", "x": %b' % (b"[" * 5_000)
    others = assigned("button", "ann", "x", "exposures/0/1")

    sticky = read(None, b"", b"{", b"[]", b"\xff", deep, b'{"origin": "http/a/1"}', others)

    assert sticky.arms({"button": "ann"}) == [None]
    assert sticky.arms({}) == []
