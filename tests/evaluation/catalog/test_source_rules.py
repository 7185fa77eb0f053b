"""Sources: what a document that reads a foreign topic must satisfy."""

from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from evaluation.catalog.source_rules import source_violations, topic_violations
from schemas.source import ForeignSource

ORDERS = {
    "key": "orders",
    "topic": "shop.orders",
    "as": "event",
    "map": {"event_type": "= paid", "user_id": "customer.id"},
}


def source(**said: Any) -> ForeignSource:
    return msgspec.convert(ORDERS | said, ForeignSource)


def found(**said: Any) -> list[str]:
    return [str(each) for each in source_violations(source(**said))]


def mapped(**said: Any) -> list[str]:
    return found(map=ORDERS["map"] | said)  # type: ignore[operator]


def test_what_is_whole_has_no_fault() -> None:
    assert found() == []
    assert found(preset="segment", map={}) == []
    assert found(**{"from": "2026-03-01T09:00:00+01:00"}, each="order.'line.items'") == []
    assert mapped(time={"path": ["a.b", "$header.at"], "unit": "us"}, groups={"company": ["a", "$key"]}) == []
    assert mapped(event_properties="$", user_properties={"plan": ["plan", "= free"]}) == []


def test_every_message_needs_its_name_and_a_unit() -> None:
    assert [text.partition(":")[0] for text in found(map={})] == ["map.event_type", "map"]
    assert found(**{"as": "exposure"}, map={"user_id": "u", "flag_key": "f"}) == [
        "map.variant: is missing; every exposure has one: a path, or `= a constant`"
    ]


def test_a_field_of_the_other_kind_would_be_ignored() -> None:
    (fault,) = mapped(flag_key="a")
    assert fault.startswith("map.flag_key: would be ignored: no event has it")


def test_a_preset_gives_one_kind() -> None:
    (fault,) = found(preset="segment", **{"as": "exposure"})
    assert "'segment' gives events; write `as: event`" in fault


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("a..b", "a dot without a name beside it"),
        (".a", "a dot without a name beside it"),
        ("a.", "a dot without a name beside it"),
        ("'a", "a quote that is not closed"),
        ("a'b'", "a quote within a name"),
        ("'a'b", "a quote within a name"),
        ("a.10000", "the index 10000"),
        ("$header.", "names no header"),
        (".".join(["a"] * 21), "has 21 names"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_its_place(path: str, says: str) -> None:
    (fault,) = mapped(device_id=["x", path])
    assert fault.startswith("map.device_id[1]: ")
    assert says in fault


def test_constants_stand_where_they_mean_something() -> None:
    assert "would be there always" not in str(mapped(device_id=["x", "= y"]))
    assert "so that nothing behind it counts" in str(mapped(device_id=["= y", "x"]))
    assert "is an empty constant" in str(mapped(device_id="= "))
    assert "is a constant, which is of no use here" in str(mapped(time="= 5"))


def test_a_condition_and_a_moment_are_ones() -> None:
    assert "where[0].values" in str(found(where=[{"property": "a", "op": "regex match", "values": ["("]}]))
    assert "'soon' is no moment" in str(found(**{"from": "soon"}))
    assert "'$key' is no array" in str(found(each="$key"))


def test_what_was_read_is_counted_so_that_topic_and_kind_stay() -> None:
    (fault,) = source_violations(source(topic="shop.orders.v3"), source())
    assert str(fault).startswith("topic: 'shop.orders.v3' was 'shop.orders', and stays so")


@pytest.mark.parametrize(
    ("topic", "is_one"), [(".", False), ("..", False), ("...", True), (".a", True), ("a/b", False)]
)
def test_a_topic_has_a_name_that_kafka_takes(topic: str, is_one: bool) -> None:
    with nullcontext() if is_one else pytest.raises(msgspec.ValidationError, match=r"at `\$.topic`"):
        source(topic=topic)


def test_a_topic_of_ours_is_no_source() -> None:
    assert [*topic_violations(source(topic="prod.events"), {"prod.events"})] != []
    assert [*topic_violations(source(topic="events"), {"prod.events"})] == []
