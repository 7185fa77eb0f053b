"""Uploads: what SDKs send becomes records of our topics, or nothing does and the request hears why."""

import json
from typing import Any

import pytest

from pipeline.http.ingest.uploads import Refusal, UploadError, read_form, read_upload, records_of
from schemas.topics import EVENTS, EXPOSURES

SERVERS = {
    "[Experiment] Flag Key": "button",
    "[Experiment] Variant": "treatment",
    "[Experiment] Experiment Key": "exp-1",
}


def event(**fields: Any) -> dict[str, Any]:
    return {"event_type": "purchase", "user_id": "user-1", "time": 1_700_000_000_000, "insert_id": "i"} | fields


def body(*events: Any, **fields: Any) -> bytes:
    return json.dumps({"api_key": "client-1", "events": events} | fields).encode()


def taken(*events: Any, **fields: Any) -> dict[str, list[dict[str, Any]]]:
    records = records_of(read_upload(body(*events, **fields)))
    return {each.topic: [json.loads(line) for line in each.value.split(b"\n")] for each in records}


def refused(*events: Any, **fields: Any) -> Refusal:
    with pytest.raises(UploadError) as error:
        records_of(read_upload(body(*events, **fields)))
    return error.value.refusal


def test_times_in_seconds_are_refused_with_the_way_out():
    wrong = refused(event(), event(time=1_700_000_000))

    assert (wrong.code, wrong.events_with_invalid_fields) == (400, {"time": [1]})
    assert "are they in seconds? Send milliseconds" in wrong.error


def test_events_go_on_as_they_came_in_one_record():
    events = [event(), event(user_id="user-2", event_properties={"revenue": 12.5}, session_id=7)]

    assert taken(*events) == {EVENTS: events}


def test_lines_are_lines_however_the_request_was_written():
    pretty = json.dumps({"api_key": "k", "events": [event(), event(event_properties={"a": ["\n"]})]}, indent=2)

    (record,) = records_of(read_upload(pretty.encode("utf-8-sig")))  # a byte order mark costs nothing

    assert [json.loads(line) for line in record.value.split(b"\n")] == json.loads(pretty)["events"]


@pytest.mark.parametrize("event_type", ["$exposure", "[Experiment] Exposure"])
def test_exposures_of_both_kinds_of_sdk_are_exposures(event_type: str):
    metadata = {"flagVersion": 9, "experimentKey": "exp-1", "segmentName": "All Other Users"}
    said = SERVERS if event_type != "$exposure" else {"flag_key": "button", "variant": "treatment"}

    found = taken(
        event(),
        event(
            event_type=event_type,
            event_properties=said | {"metadata": metadata},
            user_properties={"$set": {"[Experiment] button": "treatment"}, "$unset": {}, "plan": "pro"},
            country="Chile",
        ),
    )

    assert found == {
        EVENTS: [event()],
        EXPOSURES: [
            {
                "flag_key": "button",
                "variant": "treatment",
                "experiment_key": "exp-1",
                "metadata": metadata,
                "time": 1_700_000_000_000,
                "user_id": "user-1",
                "insert_id": "i",
                "user_properties": {"plan": "pro", "[Experiment] button": "treatment"},
                "country": "Chile",
            }
        ],
    }


def test_an_exposure_without_a_variant_says_off_and_does_not_ask_for_one():
    (exposure,) = taken(event(event_type="$exposure", time=None, event_properties={"flag_key": "b", "time": 5}))[
        EXPOSURES
    ]

    assert (exposure["variant"], exposure["time"]) == ("off", 5)


def test_of_an_exposures_metadata_those_count_that_an_sdk_sends():
    said = {"flag_key": "button", "experiment_key": "exp-1", "metadata": {"experimentKey": "exp-2", "other": [1]}}
    sent = [{"metadata": {"flagVersion": "no number"}, "event_properties": {"flag_key": "button", "metadata": None}}]

    found = taken(*[event(event_type="$exposure", **each) for each in [{"event_properties": said}, *sent]])[EXPOSURES]

    assert [each.get("metadata") for each in found] == [said["metadata"], None]
    assert [each.get("experiment_key") for each in found] == ["exp-1", None]


def test_a_refusal_names_every_field_and_every_event():
    wrong = refused(event(), event(user_id=7), event(time="now"), event(user_id=["a"]), event(groups={"org": 1}), 5)

    assert wrong.code == 400
    assert wrong.events_with_invalid_fields == {"user_id": [1, 3], "time": [2], "groups": [4], "event": [5]}
    assert (
        'user_id is a number; send it as a text, "7"; time is "now", a text; it must be a whole number' in wrong.error
    )
    missing = refused(event(event_type=""), event(), event(user_id=None))
    assert missing.events_with_missing_fields == {"event_type": [0], "user_id": [2], "device_id": [2]}
    exposures = refused(event(), event(event_type="$exposure"), event(event_type="$exposure", event_properties={}))
    assert exposures.events_with_missing_fields == {"event_properties.flag_key": [1, 2]}
    exposures = refused(event(event_type="$exposure", event_properties={"flag_key": 1, "metadata": {}}))
    assert exposures.events_with_invalid_fields == {"event_properties.flag_key": [0]}
    assert 'event_properties.flag_key is a number; send it as a text, "1"' in exposures.error
    for said in ({}, {"experiment_key": "exp-1"}):
        said |= {"flag_key": "button", "metadata": {"flagVersion": "9"}}
        exposures = refused(event(event_type="$exposure", event_properties=said))
        assert exposures.events_with_invalid_fields == {"event_properties.metadata": [0]}


def test_ids_must_be_as_long_as_amplitude_or_the_request_says():
    assert refused(event(), event(user_id="ann", device_id="d")).events_with_invalid_id_lengths == {
        "user_id": [1],
        "device_id": [1],
    }
    assert taken(event(user_id="ann"), options={"min_id_length": 1})[EVENTS][0]["user_id"] == "ann"
    assert taken(event(user_id=None, groups={"org": "acme"}))[EVENTS]


def test_what_is_too_deep_too_many_or_too_large_is_refused():
    deep: Any = 1
    for _ in range(63):
        deep = [deep]
    assert taken(event(event_properties={"a": deep[0]}))
    assert refused(event(), event(event_properties={"a": [deep]})).events_with_invalid_fields == {
        "event_properties": [1]
    }
    assert refused(*[event()] * 2001).code == 413
    assert refused(event(event_properties={"a": "x" * 1_000_000})).code == 413
    with pytest.raises(UploadError, match="nested too deeply"):
        read_upload(b'{"events":[' + b"[" * 100_000)


def test_a_large_request_is_cut_into_records_that_brokers_take():
    events = [event(insert_id=str(i), event_properties={"a": "x" * 1_000}) for i in range(2_000)]

    records = records_of(read_upload(body(*events)))

    assert sum(record.count for record in records) == 2_000
    assert 4 <= len(records) <= 6
    assert max(len(record.value) for record in records) < 502_000
    lines = b"\n".join(record.value for record in records).split(b"\n")
    assert [json.loads(line)["insert_id"] for line in lines] == [str(i) for i in range(2_000)]


def test_an_event_that_fills_a_record_has_it_alone():
    sizes = [100_000, 990_000, 300_000, 300_000]
    events = [event(insert_id=str(i), event_properties={"a": "x" * size}) for i, size in enumerate(sizes)]

    records = records_of(read_upload(body(*events)))

    assert [len(record.value) // 100_000 for record in records] == [1, 9, 3, 3]


def test_a_request_that_is_no_json_or_lacks_its_events_says_so():
    for text in (b"", b"{", b"[]", b'{"events":{}}', b'{"api_key":1}', b'{"events":[{"a":"\xff"}]}'):
        with pytest.raises(UploadError, match="the request cannot be read"):
            records_of(read_upload(text))
    assert refused(events=None).missing_field == "events"


def test_identifications_are_events():
    user = b"api_key=k&identification=%7B%22user_id%22%3A%22user-1%22%2C%22user_properties%22%3A%7B%22plan%22%3A1%7D%7D"
    group = b'api_key=k&identification=[{"group_type":"org","group_value":"acme","group_properties":{"size":3}}]'

    (of_user,) = records_of(read_form(user, "identification", "$identify"))
    (of_group,) = records_of(read_form(group, "identification", "$groupidentify"))

    assert json.loads(of_user.value) == {
        "user_id": "user-1",
        "user_properties": {"plan": 1},
        "event_type": "$identify",
    }
    assert json.loads(of_group.value) == {
        "event_type": "$groupidentify",
        "groups": {"org": "acme"},
        "group_properties": {"org": {"acme": {"size": 3}}},
    }
    with pytest.raises(UploadError, match="the request lacks 'identification'"):
        read_form(b"api_key=k", "identification", "$identify")
    (of_two,) = records_of(read_form(group.replace(b'"acme"', b'["acme","best"]'), "identification", "$groupidentify"))
    assert json.loads(of_two.value)["group_properties"] == {"org": {"acme": {"size": 3}, "best": {"size": 3}}}
    with pytest.raises(UploadError, match="send group_type and group_value"):
        read_form(b"api_key=k&identification={}", "identification", "$groupidentify")
