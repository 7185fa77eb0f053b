"""Who is behind a unit: where each loose event went, asked by the person and by the device."""

import time
from pathlib import Path

import msgspec

from pipeline.questions.unit_records import CarriedUnit, UnitRecords, unit_records
from schemas.duration import HOUR_MS, MINUTE_MS
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.questions.test_baseline import LONG
from tests.pipeline.questions.world import FLAG, PARTITIONS, World, history_of

PEOPLE = msgspec.structs.replace(FLAG, unit="device_id", identity="user_id")


def test_a_person_is_told_where_their_loose_events_count_and_why_others_do_not(tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    started = now - 12 * HOUR_MS
    world = World(tmp_path, history_of(started, PEOPLE))
    begin, hour = started + MINUTE_MS, HOUR_MS

    def say(at: int, ago: int = 0, **said: object) -> None:
        topic = EXPOSURES if "variant" in said else EVENTS
        world.send(topic, [{"time": at - ago} | said], [at])

    def look_up(**ids: str) -> UnitRecords:
        asked = CarriedUnit({(name,): text for name, text in ids.items()}, ids)
        return unit_records(tmp_path, asked, [world.run], None, PARTITIONS, started, LONG)

    buy = {"event_type": "buy", "user_id": "ann", "event_properties": {"price": 5}}
    for device in ("phone", "laptop"):
        say(begin, flag_key="button", variant="treatment", device_id=device)
    say(begin + 1, **buy)  # long before the first join
    say(begin + 3 * hour, **buy)
    say(begin + 3 * hour + 1, event_type="$identify", user_id="ann", device_id="laptop")
    world.flush(begin + 3 * hour + 2)
    moved = look_up(device_id="laptop").people
    say(begin + 3 * hour + 3, ago=5 * MINUTE_MS, event_type="$identify", user_id="ann", device_id="phone")
    say(begin + 5 * hour, ago=2 * hour, **buy)
    say(begin + 8 * hour, event_type="view", user_id="bob")
    world.flush(begin + 8 * hour + 1)

    ann, bob = look_up(user_id="ann"), look_up(user_id="bob")
    phone, laptop = look_up(device_id="phone"), look_up(device_id="laptop")

    (person,) = ann.people
    assert (person.identity, person.unit, person.joined) == ("ann", "phone", begin + 3 * hour + 3 - 5 * MINUTE_MS)
    assert [(each.time - begin, each.fate, each.why) for each in person.events] == [
        (3 * hour, "counts", None),
        (3 * hour, "late", "it was appended more than 1 h after its time"),
        (1, "unjoined", "the first join came more than 1 h later"),
    ]
    (contribution,) = ann.contributions
    assert (contribution.unit, contribution.variant) == ("phone", "treatment")
    assert next(each.numbers for each in contribution.metrics if each.metric == "spent") == [5]
    assert [(each.unit, each.joined) for each in bob.people] == [(None, None)]
    assert [each.fate for each in bob.people[0].events] == ["waiting"]
    assert [(each.unit, [event.time - begin for event in each.events]) for each in moved] == [("laptop", [3 * hour])]
    assert [[event.time - begin for event in each.events] for each in phone.people] == [[3 * hour]]
    assert [each.events for each in laptop.people] == [[]]
    assert ann.notes == []
