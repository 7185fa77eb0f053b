"""Joins: what assignment tells of the people behind units."""

import msgspec
import numpy as np
import pytest

from schemas.catalog import Step
from schemas.pair import Pair, loose
from schemas.units import RowKind
from tests.evaluation.assignment.routed import (
    BUTTON,
    HORIZON,
    NOW,
    event,
    exposure,
    rows_of,
    shop,
    unit,
)

VISITORS = msgspec.structs.replace(BUTTON, key="visitors", unit="device_id", identity="user_id")
PAIR = Pair("device_id", "user_id")
USER, OTHER = unit("user_id", "u-1"), unit("user_id", "u-2")
DEVICE = np.array([unit("device_id", "d-1")], np.uint64).view(np.int64)[0].item()


@pytest.fixture(scope="module")
def visitors():
    """A catalog with an experiment by devices that says who is behind them."""
    return shop().run(VISITORS).history


def told(assigned):
    """The rows for `identities`: offset, kind, what, identity, time, value."""
    rows = assigned.identities
    names = ("offset", "kind", "code", "unit", "time", "value")
    columns = zip(*(getattr(rows, name).tolist() for name in names), strict=True)
    found = []
    for offset, kind, code, *rest in columns:
        if kind == RowKind.JOIN:
            name = rows.pairs[code]
        elif kind & RowKind.EXPOSURE:
            name = assigned.arms[code].variant
        else:
            name = rows.facts[code]
        found.append((offset, RowKind(kind), name, *rest))
    return found


def test_of_each_identity_and_unit_the_earliest_join_is_told_whatever_the_message_is_called(route, visitors):
    assigned = route(
        event("$identify", device_id="d-1", time=NOW - 10),
        event("login", device_id="d-1", time=NOW - 30),
        event("view", device_id="d-1", time=NOW - 20),
        event("view", device_id="d-1", user_id="u-2", time=NOW),
        catalog=visitors,
    )

    assert told(assigned) == [
        (101, RowKind.JOIN, PAIR, USER, NOW - 30, DEVICE),
        (103, RowKind.JOIN, PAIR, OTHER, NOW, DEVICE),
    ]


def test_what_is_late_or_of_no_use_joins_nobody(route, visitors):
    assigned = route(
        event("view", device_id="d-1", time=NOW - HORIZON - 1),
        event("view", device_id="d-1", time=NOW + HORIZON),
        event("view", device_id="", time=NOW),
        catalog=visitors,
    )

    assert [row for row in told(assigned) if row[1] == RowKind.JOIN] == []


def test_an_event_that_names_the_identity_alone_is_loose_and_one_with_the_unit_is_the_units(route, visitors):
    assigned = route(
        event("purchase", event_properties={"price": 2.5}), event("purchase", device_id="d-1"), catalog=visitors
    )

    purchase, price = ('["purchase",null,0,[]]', '["purchase","price",2,[]]')
    assert told(assigned)[:2] == [
        (100, RowKind(0), loose(purchase, PAIR), USER, NOW - 1_000, 1),
        (100, RowKind(0), loose(price, PAIR), USER, NOW - 1_000, 250),
    ]
    assert {(row[0], row[3]) for row in rows_of(assigned)} == {(101, unit("device_id", "d-1"))}
    assert ("fact", purchase) in {each[:2] for each in assigned.came}


def test_people_behind_one_unit_may_use_the_same_insert_id(route, visitors):
    assigned = route(event("view"), event("view", user_id="u-2"), catalog=visitors)

    one, other = assigned.identities.id.tolist()
    assert one ^ USER == other ^ OTHER


def test_exposures_with_both_ids_join_and_tell_which_arm_the_identity_met(route, visitors):
    said = {"flag_key": "visitors", "device_id": "d-1"}
    assigned = route(
        exposure(**said),
        exposure(**said, time=NOW - HORIZON - 1),
        exposure(**said, user_id=None),
        exposure("off", **said | {"device_id": "d-2"}),
        exposure("unknown", **said | {"device_id": "d-3"}),
        topic="exposures",
        catalog=visitors,
    )

    assert [row for row in told(assigned) if row[1] == RowKind.EXPOSURE] == [
        (100, RowKind.EXPOSURE, "treatment", USER, NOW - 1_000, DEVICE)
    ]
    assert [row[0] for row in told(assigned) if row[1] == RowKind.JOIN] == [100, 103]


def test_an_event_that_stands_in_for_exposures_tells_the_arm_too(route):
    flag = msgspec.structs.replace(VISITORS, exposure_event=Step(event="view"))
    history = shop().run(flag).history

    assigned = route(event("view", device_id="d-1"), catalog=history)

    assert [row[1:2] + row[3:] for row in told(assigned) if row[1] & RowKind.EXPOSURE] == [
        (RowKind.EXPOSURE, USER, NOW - 1_000, DEVICE)
    ]


def test_pieces_have_whole_records_of_both_kinds(route, visitors):
    messages = [event("purchase"), event("purchase", device_id="d-1"), event("view"), event("view", device_id="d-2")]
    assigned = route(*messages, catalog=visitors)

    pieces = list(assigned.pieces(2))

    assert [(each.begin, each.end) for each in pieces] == [(100, 101), (101, 102), (102, 103), (103, 104)]
    for each in pieces:
        offsets = {*each.offset.tolist(), *each.identities.offset.tolist()}
        assert offsets == {each.begin}
    assert sum(len(each.identities.offset) for each in pieces) == len(assigned.identities.offset)


def test_who_asks_for_no_identity_pays_nothing(route):
    assigned = route(event("purchase", device_id="d-1"), event("view"))

    assert told(assigned) == []
    assert assigned.identities.pairs == assigned.identities.facts == []
    assert "joins" not in assigned.counts
