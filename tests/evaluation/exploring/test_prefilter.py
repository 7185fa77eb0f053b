"""What the prefilter leaves out matters to nobody, however a record is written; and it does leave out."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.columns.hashing import unit_hashes
from evaluation.exploring.prefilter import Prefilter, SoughtUnits
from schemas.records import Headers, Records
from schemas.topics import EVENTS

NAMES = ("view", "purchase_now", "é")
UNITS = [f"u{number}" for number in range(50)]
SOUGHT = SoughtUnits(unit_hashes("user_id", pa.array(UNITS[:5], pa.large_string())))


def records(values: list[bytes], headers: dict[int, Headers] | None = None) -> Records:
    length = np.array([*map(len, values)], np.int64)
    rows = np.arange(len(values))
    data = memoryview(b"".join(values))
    return Records(EVENTS, 0, 0, len(values), rows, rows, np.cumsum(length) - length, length, data, headers or {})


def kept(values: list[bytes], prefilter: Prefilter, headers: dict[int, Headers] | None = None) -> set[int]:
    found = prefilter.of(records(values, headers))
    assert [found.value(row) for row in range(len(found))] == [values[offset] for offset in found.offset.tolist()]
    return set(found.offset.tolist())


texts = st.sampled_from([*NAMES, *UNITS[:9], "user_id", "event_type", 'a"b', "back\\slash", "", "other", "views"])
values = st.recursive(texts | st.integers() | st.none(), lambda inner: st.dictionaries(texts, inner, max_size=3))
messages = st.fixed_dictionaries(
    {"event_type": texts}, optional={"user_id": texts | st.none() | st.integers(), "event_properties": values}
)


@given(st.lists(st.tuples(messages, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t:\n")]))))
def test_whatever_may_matter_passes(told: list[tuple[dict[str, object], bool, tuple[str, str]]]) -> None:
    written = [json.dumps(each, ensure_ascii=ascii_, separators=by).encode() for each, ascii_, by in told]
    named = {i for i, (each, _, _) in enumerate(told) if each["event_type"] in NAMES}
    own = {i for i in named if told[i][0].get("user_id") in UNITS[:5]}

    assert kept(written, Prefilter(NAMES)) >= named
    assert kept(written, Prefilter(NAMES, "user_id", SOUGHT)) >= own


def test_other_names_and_other_units_are_left_out() -> None:
    told = [{"event_type": "view", "user_id": f"v{number}"} for number in range(1_000)]
    told += [{"event_type": "scroll", "user_id": unit} for unit in UNITS]
    told += [{"event_type": "view", "user_id": unit} for unit in UNITS[:5]]
    written = [json.dumps(each).encode() for each in told]

    assert len(kept(written, Prefilter(["view"]))) == 1_005
    assert 5 <= len(kept(written, Prefilter(["view"], "user_id", SOUGHT))) < 200  # one in sixteen shares a place
    assert len(kept(written, Prefilter(["view"], "groups.company", SOUGHT))) == 1_005  # by other types nobody is known


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ((("content-type", b"application/json"),), False),
        ((("content-type", b"application/x-ndjson"),), False),
        ((("content-type", b"application/vnd.apache.arrow.stream"),), True),
        ((("peekproof-origin", b"events/0/1"),), True),
    ],
)
def test_what_is_written_otherwise_passes(headers: Headers, passes: bool) -> None:
    assert bool(kept([b'{"event_type":"scroll"}'], Prefilter(["view"]), {0: headers})) is passes


def test_of_many_in_one_record_no_unit_is_looked_for() -> None:
    lines = b'{"event_type":"view","user_id":"v1"}\n{"event_type":"view","user_id":"u1"}'
    headers: dict[int, Headers] = {0: (("content-type", b"application/x-ndjson"),)}

    assert kept([lines], Prefilter(["view"], "user_id", SOUGHT), headers) == {0}
