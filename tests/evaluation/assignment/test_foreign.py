"""Records of another shape: a source makes of them what we would have had of messages of our own."""

from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from evaluation.assignment.dead_letters import origins_of
from evaluation.assignment.looking import carrying, messages_of
from evaluation.assignment.routing import assign
from evaluation.assignment.trying import absences, tried
from evaluation.catalog.sources import ReadSource, read_sources
from evaluation.columns.scanning import Type, Wanted
from schemas.dead_letter import DeadLetter, resent_headers
from schemas.records import RecordKeys
from schemas.source import ForeignSource
from schemas.writer_schema import NO_SCHEMAS
from tests.evaluation.assignment.routed import (
    ARROW,
    BUTTON,
    HORIZON,
    NDJSON,
    NOW,
    TEAMS,
    TOLERANCE,
    event,
    exposure,
    reasons,
    rows_of,
    shop,
    stream,
)

PURCHASES: dict[str, Any] = {
    "key": "orders",
    "topic": "shop.orders",
    "as": "event",
    "where": [{"property": "order.status", "op": "is", "values": ["PAID"]}],
    "map": {
        "event_type": "= purchase",
        "user_id": ["customer.id", "customer.mail"],
        "time": {"path": "order.at", "unit": "s"},
        "insert_id": "order.id",
        "event_properties": {"price": "order.total", "country": "order.country"},
    },
}


def order(user: Any = "a", total: Any = 2.5, status: str = "PAID", **more: Any) -> bytes:
    """An order as the shop writes it, and the purchase that is the same."""
    fields = {"id": 7, "at": NOW // 1_000, "total": total, "status": status, "country": "de"} | more
    return msgspec.json.encode({"order": fields, "customer": {"id": user, "tags": [1, {"x": []}]}})


def purchase(user: str = "a", total: Any = 2.5, **more: Any) -> dict[str, Any]:
    """The same as we would have it."""
    said = {"user_id": user, "insert_id": "7", "time": NOW // 1_000 * 1_000}
    return event("purchase", event_properties={"price": total, "country": "de"}, **said | more)


def with_sources(*documents: dict[str, Any]) -> Any:
    """A catalog with a flag that runs, and sources."""
    topic = shop().run(BUTTON)
    for document in documents:
        topic.source(msgspec.convert(document, ForeignSource))
    return topic.history


@pytest.fixture(scope="module")
def catalog():
    return with_sources(PURCHASES)


AT = "@shop.orders"


def bare(assigned: Any) -> Any:
    """The rows, without what is of the topic alone."""
    return [(row[0], *row[2:]) for row in rows_of(assigned)]


def test_orders_make_the_rows_that_purchases_make(route, catalog):
    foreign = route(order(), order("b", "7"), order("c", None), order(12, at=NOW / 1_000), topic=AT, catalog=catalog)

    ours = route(purchase(), purchase("b", "7"), purchase("c", None), purchase("12", time=NOW), catalog=catalog)
    assert rows_of(foreign) == rows_of(ours) != []
    assert foreign.facts == ours.facts
    assert not foreign.rejects


def test_what_the_kernel_leaves_makes_the_same_rows(route, catalog):
    values = [order("\u00e9"), order("b", 1e3)]

    escaped = [value.replace("\u00e9".encode(), b"\\u00e9").replace(b"1000.0", b"1e3") for value in values]

    assert escaped != values
    assert rows_of(route(*escaped, topic=AT, catalog=catalog)) == rows_of(route(*values, topic=AT, catalog=catalog))


def test_what_a_condition_leaves_out_is_counted_whatever_else_is_wrong_with_it(route, catalog):
    broken = order({"no": "text"}, status="OPEN", at="never")

    assigned = route(order(), broken, order(status="OPEN"), None, topic=AT, catalog=catalog)

    assert assigned.counts["excluded"] == 2
    assert assigned.counts["tombstones"] == 1
    assert not assigned.rejects
    assert {row[0] for row in rows_of(assigned)} == {100}


def test_what_lacks_something_is_a_dead_letter_that_names_the_source_and_the_path(route, catalog):
    bad = [order(None), order(["x"]), order(at="soon"), b"{", b"[]", order(at=NOW), order("x" * 1_025)]

    assigned = route(order(), *bad, topic=AT, catalog=catalog)

    assert reasons(assigned) == [
        (101, "no unit"),
        (102, "wrong type"),
        (103, "wrong type"),
        (104, "not json"),
        (105, "wrong type"),
        (106, "time out of range"),
        (107, "wrong type"),
    ]
    assert {each.source for each in assigned.rejects} == {"orders"}
    assert all(each.detail.startswith("source 'orders': ") for each in assigned.rejects)
    told = [each.detail for each in assigned.rejects]
    assert "nothing stands at customer.id, customer.mail" in told[0]
    assert "customer.id, for user_id, is a list" in told[1]
    assert 'order.at is "soon", which is no time in s' in told[2]
    assert [each.value for each in assigned.rejects] == bad


def test_of_paths_the_first_counts_that_is_there(route, catalog):
    value = msgspec.json.decode(order())
    value["customer"] = {"id": "", "mail": "m"}

    assigned = route(value, topic=AT, catalog=catalog)

    assert rows_of(assigned) == rows_of(route(purchase("m"), catalog=catalog))


@pytest.mark.parametrize(
    ("unit", "at", "told"),
    [
        ("s", NOW, f"order.at is {NOW} in s, which is no time from 1970 to the year 9999; mend `time`, or its unit"),
        ("ms", f"{NOW // 1_000}", f'order.at is "{NOW // 1_000}" in ms, which would be early in the 1970s'),
        ("us", (NOW + 60_000) * 1_000, f"order.at is {NOW + 60_000}000 in us: time is {NOW + 60_000}, 60000 ms after"),
        ("iso8601", "1969-12-31", 'order.at is "1969-12-31" in iso8601, which is no time from 1970'),
    ],
)
def test_a_time_of_no_use_is_told_as_it_came_with_its_path_and_unit(route, unit, at, told):
    times = PURCHASES["map"] | {"time": {"path": ["order.then", "order.at"], "unit": unit}}
    catalog = with_sources(PURCHASES | {"map": times})

    (dead_letter,) = route(order(["no unit"]), order(at=at), topic=AT, catalog=catalog).rejects[1:]

    assert dead_letter.detail.startswith(f"source 'orders': {told}")


EXPOSED = {
    "key": "seen",
    "topic": "web.seen",
    "as": "exposure",
    "map": {"flag_key": "exp.0", "variant": "exp.1", "user_id": "$key", "insert_id": "$header.ID"},
}


def test_keys_and_headers_are_fields_like_others(records_of, route):
    catalog = with_sources(EXPOSED)
    rows = [(100, NOW, b'{"exp":["button","treatment"]}', (("id", b"x"), ("Id", b"1")))] * 4
    records = records_of(rows, topic="@web.seen")
    starts, lengths = np.array([0, 1, 0, 0]), np.array([1, 1, -1, 1])
    records = replace(records, keys=RecordKeys(starts, lengths, memoryview(b"u\xff")))

    (assigned,) = assign(records, catalog, HORIZON, TOLERANCE)

    ours = route(exposure("treatment", user_id="u", insert_id="1", time=NOW), topic="exposures", catalog=catalog)
    assert bare(assigned) == bare(ours) * 2
    told = [each.detail for each in assigned.rejects]
    assert ["$key" in each for each in told] == [True, False]


@pytest.mark.parametrize("names", ["acme", ["acme", "other"], '["acme"]'])
def test_groups_are_taken_from_an_object_and_of_a_list_of_names_the_first(route, names):
    topic = shop().run(TEAMS)
    said = {"event_type": "= purchase", "groups": "of", "insert_id": "$header.id"}
    topic.source(msgspec.convert({"key": "a", "topic": "shop.orders", "as": "event", "map": said}, ForeignSource))
    bare_value = msgspec.json.encode({"of": {"org": names, "x": {}}})

    assigned = route(
        (bare_value, [("id", b"i-1")]), ({"of": {"y": "z"}}, ()), ({"of": {}}, ()), topic=AT, catalog=topic.history
    )

    own = event("purchase", user_id=None, groups={"org": names}, time=NOW)
    assert rows_of(assigned) == rows_of(route(own, catalog=topic.history)) != []
    assert reasons(assigned) == [(102, "no unit")]


@pytest.mark.parametrize("groups", ["acme", 7, True, ["acme"], []])
def test_groups_that_are_no_object_are_told_and_not_made_into_nothing(route, groups):
    said = {"event_type": "= purchase", "user_id": "who", "groups": "of.all"}
    catalog = with_sources({"key": "a", "topic": "shop.orders", "as": "event", "map": said})

    assigned = route({"who": "a", "of": {"all": groups}}, {"who": "a", "of": {"all": None}}, topic=AT, catalog=catalog)

    (reject,) = assigned.rejects
    assert (reject.offset, reject.reason) == (100, "wrong type")
    shown = msgspec.json.encode(groups).decode()
    assert f"of.all, for groups, is {shown}, which is no object; say which group it is" in reject.detail


ITEMS = {
    "key": "items",
    "topic": "shop.orders",
    "as": "event",
    "each": "order.items",
    "where": [{"property": "order.items.kind", "op": "is not", "values": ["gift"]}],
    "map": {
        "event_type": "= purchase",
        "user_id": "customer.id",
        "insert_id": "order.id",
        "event_properties": {"price": "order.items.price", "country": "order.country"},
    },
}
BASKET = [{"price": 1.5}, {"price": 2, "kind": "gift"}, {"price": "3"}]


def test_the_elements_of_an_array_are_an_event_each(route):
    catalog = with_sources(ITEMS)

    assigned = route(order(items=BASKET), order("b", items=[]), topic=AT, catalog=catalog)

    ours = [purchase("a", price, insert_id=f"7/{i}", time=NOW) for i, price in ((0, 1.5), (2, 3))]
    assert {row[2:] for row in rows_of(assigned)} == {row[2:] for row in rows_of(route(*ours, catalog=catalog))}
    assert assigned.counts["excluded"] == 1
    assert not assigned.rejects


def test_an_element_of_no_use_travels_with_its_record_and_without_its_neighbours(route):
    catalog = with_sources(ITEMS | {"map": ITEMS["map"] | {"user_id": "order.items.for"}})  # type: ignore[operator]
    basket = [{"for": "a", "price": 1}, {"price": 2}, {"for": {}, "price": 3}]

    assigned = route(order(items=basket), order(items=None), topic=AT, catalog=catalog)

    first, second, third = assigned.rejects
    assert [(each.index, each.reason) for each in (first, second)] == [(1, "no unit"), (2, "wrong type")]
    assert msgspec.json.decode(first.value) == msgspec.json.decode(order(items=basket[1:2]))
    assert "order.items is missing" in third.detail


def sent_again(dead_letter: DeadLetter, **changed: Any) -> tuple[bytes, Any]:
    """What `dead-letters resend` sends of it."""
    dead_letter = msgspec.structs.replace(dead_letter, **changed)
    return dead_letter.value or b"", resent_headers(dead_letter)


def test_of_many_elements_of_no_use_the_last_share_a_dead_letter_with_the_whole_record(route):
    catalog = with_sources(ITEMS | {"map": ITEMS["map"] | {"user_id": "order.items.for"}})  # type: ignore[operator]
    lines = [{"price": i} | ({"for": "ann"} if i in {3, 20} else {}) for i in range(30)]
    sent = order(items=lines)

    assigned = route(sent, topic=AT, catalog=catalog)

    *alone, last = sorted(assigned.rejects, key=lambda each: bool(each.others))
    assert len(alone) == 10
    assert all(len(each.value or b"") < 200 for each in alone)
    assert last.others == (*range(11, 20), *range(21, 30))
    assert (last.reason, last.index, last.messages) == ("no unit", None, 18)
    assert "18 more elements of this record, 11–19, 21–29, are of no use" in last.detail
    again = route((last.value, resent_headers(last)), topic="events", catalog=catalog)
    assert {row[2:] for row in rows_of(again)} == {row[2:] for row in rows_of(assigned)} != set()


def became(assigned: Any, source: str) -> tuple[int, int, int]:
    """How many messages of a source were taken, left out and dead, as the assignment stage counts them."""
    dead = sum(each.messages for each in assigned.rejects if each.source == source)
    taken, excluded = (assigned.counts.get(f"source {source}: {what}", 0) for what in ("taken", "excluded"))
    return taken, excluded, dead


NUMBERS = ITEMS | {"map": ITEMS["map"] | {"event_properties": {"price": "order.items"}}}  # type: ignore[operator]


def but(number: int) -> dict[str, Any]:
    """The condition that leaves out the elements that are this number."""
    return {"where": [{"property": "order.items", "op": "is not", "values": [f"{number}"]}]}


def test_a_record_that_says_more_than_can_travel_is_dead_for_its_source_and_counts_by_a_narrower_one(route):
    topic = shop().run(BUTTON)
    topic.source(msgspec.convert(NUMBERS | but(2), ForeignSource))
    lines = [2] * 5 + [i % 2 for i in range(109_995)]

    first = route(order(items=lines), order(items=lines[:10]), topic=AT, catalog=topic.history)

    (dead_letter,) = first.rejects
    assert (dead_letter.reason, dead_letter.source, dead_letter.index) == ("too large", "items", None)
    assert dead_letter.detail.startswith("source 'items': its messages make 219990 rows, one for each metric's fact")
    assert "let its producer write smaller records, or leave out by `where`" in dead_letter.detail
    assert became(first, "items") == (5, 10, 109_995)
    topic.source(msgspec.convert(NUMBERS | but(0), ForeignSource))
    again = route(sent_again(dead_letter), topic="events", catalog=topic.history, at=NOW + 10_000)
    assert became(again, "items") == (55_002, 54_998, 0)
    assert len(again.offset) == 2 * 55_002


def test_of_sources_whose_rows_cannot_travel_together_one_takes_the_record_later(route):
    catalog = with_sources(NUMBERS | {"key": "few"} | but(1), NUMBERS)
    sent = order(items=[i % 6 for i in range(80_000)])

    first = route(sent, topic=AT, catalog=catalog)

    (dead_letter,) = first.rejects
    assert dead_letter.source == "items"
    assert (
        "its messages make 160000 rows, and those of the record's other sources 133332, one for" in dead_letter.detail
    )
    assert dead_letter.detail.endswith("send this again, and this source alone reads it")
    assert became(first, "few") == (66_666, 13_334, 0)
    assert became(first, "items") == (0, 0, 80_000)
    again = route(sent_again(dead_letter), topic="events", catalog=catalog, at=NOW + 10_000)
    assert became(again, "items") == (80_000, 0, 0)


def test_a_message_is_taken_or_left_out_or_dead_and_only_one_of_them(route):
    seen = {"key": "seen", "topic": "shop.orders", "as": "exposure", "where": PURCHASES["where"]}
    seen["map"] = {"flag_key": "order.flag", "variant": "order.variant", "user_id": "customer.id"}
    met = {"flag": "button", "variant": "treatment"}
    sent = [
        order(**met),
        order(status="OPEN"),
        order(at=-5, **met),
        order(at=NOW // 1_000_000, **met),
        order(at=NOW, flag="button", variant="none"),
        order("b", flag="nobody", variant="treatment"),
    ]

    assigned = route(*sent, topic=AT, catalog=with_sources(PURCHASES, seen))

    assert became(assigned, "orders") == (2, 1, 3)
    assert became(assigned, "seen") == (3, 1, 2)


def test_a_dead_letter_that_is_sent_again_is_read_by_its_source_as_it_is_then(route):
    topic = shop().run(BUTTON)
    wrong = PURCHASES | {"map": PURCHASES["map"] | {"user_id": "customer"}}
    topic.source(msgspec.convert(wrong, ForeignSource))
    topic.source(msgspec.convert(ITEMS | {"key": "others", "where": []}, ForeignSource))
    first = route(order(items=[]), topic=AT, catalog=topic.history)
    (dead_letter,) = first.rejects
    topic.source(msgspec.convert(PURCHASES, ForeignSource))

    again = route(sent_again(dead_letter), topic="events", catalog=topic.history, at=NOW + 10_000)

    assert bare(again) == bare(route(purchase(), catalog=topic.history, at=NOW + 10_000))
    assert not again.rejects
    nobody = route(sent_again(dead_letter, source="gone"), topic="events", catalog=topic.history, at=NOW + 10_000)
    assert reasons(nobody) == [(100, "unknown source")]
    unnamed = route(sent_again(dead_letter, source=None), topic="events", catalog=topic.history, at=NOW + 10_000)
    assert reasons(unnamed) == [(100, "unknown source")]
    assert unnamed.rejects[0].source is None
    assert unnamed.rejects[0].detail.startswith("its header peekproof-source is missing, so nobody knows")


def test_what_was_sent_again_is_found_by_those_who_look_things_up(records_of):
    source = msgspec.convert(PURCHASES, ForeignSource)
    lost = DeadLetter(
        reason="no unit", detail="-", topic=AT, partition=0, offset=100, append_time=NOW,
        source="orders", value=order(9),
    )  # fmt: skip
    ours = msgspec.json.encode(purchase("8")), ()
    rows = [(100 + i, NOW, value, headers) for i, (value, headers) in enumerate([ours, sent_again(lost)])]
    wanted = {"events": Wanted({("event_type",): Type.TEXT, ("user_id",): Type.TEXT}, None)}

    found = [
        (topic, columns.row.tolist(), columns.texts["user_id",].strings())
        for topic, columns in messages_of(records_of(rows, topic="events"), wanted, [ReadSource(source)], NO_SCHEMAS)
    ]

    assert found == [("events", [0], ["8"]), ("events", [1], ["9"])]


def test_the_messages_that_carry_a_unit_are_found_in_any_shape(records_of):
    groups = {"team": "order.team"}, "order.teams"
    sources = [ITEMS | {"key": f"{i}", "map": ITEMS["map"] | {"groups": each}} for i, each in enumerate(groups)]
    read = [msgspec.convert(each | {"where": []}, ForeignSource) for each in sources]
    in_team, in_teams = order(items=BASKET[:1], team="9"), order(items=BASKET[:2], teams={"a": ["x", "9"]})
    values = order(9, items=BASKET), in_team, in_teams
    records = records_of([(100 + i, NOW, value, ()) for i, value in enumerate(values)], topic=AT)

    assert Counter(row for row, _ in carrying(records, read, "9", NO_SCHEMAS)) == {0: 2 * len(BASKET), 1: 1, 2: 2}


def test_an_element_that_is_sent_again_keeps_the_id_that_it_would_have_had(route):
    catalog = with_sources(ITEMS | {"where": []})
    whole = route(order(items=BASKET), topic=AT, catalog=catalog)
    broken = route(order(items=[*BASKET[:2], 7, BASKET[2]]), topic=AT, catalog=catalog)
    assert len(set(rows_of(broken))) > len(set(rows_of(whole)))
    lost = DeadLetter(
        reason="no unit", detail="-", topic=AT, partition=0, offset=100, index=2, append_time=NOW,
        source="items", value=order(items=BASKET[2:]),
    )  # fmt: skip

    again = route(sent_again(lost), topic="events", catalog=catalog, at=NOW + 10_000)

    assert {row[1:] for row in rows_of(again)} <= {row[1:] for row in rows_of(whole)}


def test_two_sources_of_one_topic_make_messages_of_their_own(route):
    second = {"key": "seen", "topic": "shop.orders", "as": "exposure"}
    second["map"] = {"flag_key": "= button", "variant": "= treatment", "user_id": "customer.id"}
    without_id = {name: taken for name, taken in PURCHASES["map"].items() if name != "insert_id"}
    catalog = with_sources(PURCHASES | {"map": without_id}, second, PURCHASES | {"key": "again", "map": without_id})

    assigned = route(order(), topic=AT, catalog=catalog)

    events = [row for row in rows_of(assigned) if not row[1] & 1]
    assert len(rows_of(assigned)) == len(events) + 1
    assert len(set(events)) == len(events)
    assert [*assigned.messages] == ["exposures", "events"]


@pytest.mark.parametrize("since", ["now", "beginning", "2000-01-01", "2100-01-01"])
def test_who_looks_back_finds_a_record_once_for_each_source_that_read_it(records_of, since):
    never, other = ({"key": key, "map": PURCHASES["map"] | {"event_type": f"= {key}"}} for key in ("never", "other"))
    catalog = with_sources(
        PURCHASES,
        PURCHASES | never | {"paused": True, "from": since},
        PURCHASES | other | {"from": since},
        PURCHASES | other | {"paused": True},
        PURCHASES | other,
    )
    made = [each.append_time for each in catalog.first_sources.values()]
    times = range(made[0] - HORIZON - 5_000, made[-1] + 30_000, 500)
    records = records_of(
        [(i, at, order(at=at / 1_000, id=i, status="PAID"), ()) for i, at in enumerate(times)], topic=AT
    )
    wanted = {"events": Wanted({("event_type",): Type.TEXT}, None)}

    def told(columns):
        return zip(columns.row.tolist(), columns.texts["event_type",].strings(), strict=True)

    read = Counter(
        each
        for assigned in assign(records, catalog, HORIZON, TOLERANCE)
        for columns in assigned.messages.get("events", ())
        for each in told(columns)
    )
    found = messages_of(records, wanted, read_sources(catalog, HORIZON), NO_SCHEMAS)

    assert Counter(each for _, columns in found for each in told(columns)) == read
    assert {name for _, name in read} == {"purchase", "other"}
    assert {*read.values()} == {1}


@pytest.mark.parametrize(("since", "is_read"), [("now", False), ("beginning", True), ("2000-01-01", True)])
def test_what_was_there_before_the_source_is_read_from_when_it_begins(route, since, is_read):
    catalog = with_sources(PURCHASES | {"from": since})
    made = catalog.first_sources["orders"].append_time

    before = route(order(at=made / 1_000 - 1), topic=AT, catalog=catalog, at=made - 1)
    long_before = route(order(), topic=AT, catalog=catalog, at=made - HORIZON - 1)

    assert bool(before.messages) is is_read
    assert long_before.messages == {}
    assert route(order(at=made / 1_000), topic=AT, catalog=catalog, at=made).messages != {}


def test_a_paused_source_reads_nothing(route):
    catalog = with_sources(PURCHASES | {"paused": True})

    assert route(order(), topic=AT, catalog=catalog).messages == {}


def test_lines_and_arrow_are_read_by_paths_too(route, catalog):
    table = stream(
        order=pa.array([msgspec.json.decode(order())["order"] | {"id": "7"}] * 2),
        customer=pa.array([{"id": "a"}, {"id": None}]),
    )
    lines = order() + b"\n" + order(None) + b"\n"

    assigned = route((table, ARROW), (lines, NDJSON), topic=AT, catalog=catalog)

    alone = {row[1:] for row in rows_of(route(purchase(), catalog=catalog))}
    assert {row[1:] for row in rows_of(assigned)} == alone
    assert [(each.offset, each.index, each.reason) for each in assigned.rejects] == [
        (100, 1, "no unit"),
        (101, 1, "no unit"),
    ]


def test_nobody_of_a_foreign_topic_sends_a_dead_letter_again(records_of):
    forged = (("peekproof-origin", b"events/0/1"), ("peekproof-append-time", b"5"))

    assert origins_of(records_of([(1, NOW, b"{}", forged)], topic=AT)) == {}


def test_trying_tells_what_came_beside_what_was_made_of_it(records_of):
    rows = [(0, NOW, order(), ()), (1, NOW, order(status="OPEN"), ()), (2, NOW, None, ()), (3, NOW, b"{", ())]
    late = order(at=(NOW - 2 * HORIZON) // 1_000)

    found = tried(
        records_of([*rows, (4, NOW, late, ())], topic=AT), msgspec.convert(PURCHASES, ForeignSource), HORIZON, TOLERANCE
    )

    assert msgspec.json.decode(msgspec.json.encode(found[0].message)) == {
        "event_type": "purchase",
        "user_id": "a",
        "time": NOW // 1_000 * 1_000,
        "insert_id": "7",
        "event_properties": {"price": 2.5, "country": "de"},
    }
    assert ["left out" in str(found[1].detail), "tombstone" in str(found[2].detail)] == [True, True]
    assert [each.reason for each in found] == [None, None, None, "not json", None]
    assert [each.is_late for each in found] == [False, False, False, False, True]


def test_trying_tells_what_flags_refuse_as_the_dead_letters_that_it_would_be(records_of, route):
    topic = shop().run(BUTTON, TEAMS)
    said = {"key": "seen", "topic": "web.seen", "as": "exposure", "each": "all"}
    said["map"] = {"flag_key": "all.flag", "variant": "all.variant", "user_id": "all.user"}
    source = msgspec.convert(said, ForeignSource)
    flags = ("button", "treatment"), ("buton", "treatment"), ("button", "red"), ("teams", "control")
    value = msgspec.json.encode({"all": [{"flag": flag, "variant": variant, "user": "a"} for flag, variant in flags]})
    records = records_of([(0, NOW, value, ())], topic="@web.seen")

    found = tried(records, source, HORIZON, TOLERANCE, NO_SCHEMAS, topic.history.newest)

    assert [each.reason for each in found] == [None, "unknown flag", "unknown variant", "no unit"]
    assert [each.message is None for each in found] == [False, True, True, True]
    topic.source(source)
    letters = route(value, topic="@web.seen", catalog=topic.history).rejects
    assert [(each.index, each.detail) for each in letters] == [(each.index, each.detail) for each in found[1:]]


ORDERED = {"key": "orders", "topic": "shop.orders", "as": "event"}
TOTALS = {"event": "Bought", "userId": "a", "totals": {"grossCents": 5, "a.b": 1}, "context": {"traits": {"crm_id": 9}}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {"map": {"event_type": "event", "user_id": "$.userId", "event_properties": {"cents": "totals.grosCents"}}},
            [
                "user_id: nothing stands at $.userId in any of the 2 records; drop `$.`: paths begin at the record",
                "event_properties.cents: nothing stands at totals.grosCents in any of the 2 records; did you mean "
                "totals.grossCents?",
            ],
        ),
        (
            {"preset": "segment", "map": {"user_id": ["crm_id", "traits.crm_id"], "country": "totals.'a.b'"}},
            [
                "user_id: nothing stands at crm_id, traits.crm_id in any of the 2 records; did you mean "
                "context.traits.crm_id?",
                "country: nothing stands at totals.'a.b' in 1 of the 2 records",
            ],
        ),
        (
            {
                "map": {
                    "event_type": "purchase",
                    "user_id": "userId",
                    "event_properties": {"currency": ["eur", "= EUR"]},
                }
            },
            ["event_type: nothing stands at purchase in any of the 2 records; a constant is `= purchase`"],
        ),
        (
            {
                "preset": "segment",
                "where": [
                    {"property": "event_properties.event", "op": "is", "values": ["Bought"]},
                    {"property": "nowhere", "op": "is", "values": ["(none)"]},
                ],
            },
            ["where[0]: nothing stands at event_properties.event in any of the 2 records; did you mean event?"],
        ),
        (
            {
                "parse": ["text"],
                "each": "text.items",
                "map": {"event_type": "= item", "user_id": "userId", "insert_id": "text.items.skus"},
            },
            [
                "insert_id: nothing stands at text.items.skus in any of the 3 elements; did you mean text.items.sku?",
            ],
        ),
    ],
)
def test_trying_tells_at_which_paths_nothing_stands(records_of, document, told):
    source = msgspec.convert(ORDERED | document, ForeignSource)
    text = msgspec.json.encode({"items": [{"sku": 1}, {"sku": 2}]}).decode()
    bare = TOTALS | {"totals": {"grossCents": 5}, "text": '{"items":[{"sku":3}]}'}
    values = TOTALS | {"text": text}, bare
    rows = [(i, NOW, msgspec.json.encode(value), ()) for i, value in enumerate(values)]

    found = tried(records_of([*rows, (2, NOW, None, ())], topic=AT), source, HORIZON, TOLERANCE)

    assert [*absences(source, found)] == told


def test_of_one_record_it_is_told_in_the_singular_however_long_its_lists_are(records_of):
    source = msgspec.convert(ORDERED | {"preset": "segment", "map": {"country": "land"}}, ForeignSource)
    value = msgspec.json.encode(TOTALS | {"list": [None] * 20_000 + [1]})

    found = tried(records_of([(0, NOW, value, ())], topic=AT), source, HORIZON, TOLERANCE)

    said = "country: nothing stands at land in the one record; a constant is `= land`"
    assert [*absences(source, found)] == [said]
