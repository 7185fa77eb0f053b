"""Dead letters travel in headers and go back to where they came from."""

from typing import get_args

import msgspec
import pytest

from schemas.dead_letter import (
    HEADERS,
    LARGEST_DEAD_LETTER,
    OF_ORIGIN,
    REASONS,
    DeadLetter,
    Reason,
    fitted,
    from_record,
    resent_from,
    resent_headers,
    to_headers,
)

LETTER = DeadLetter(
    reason="not json",
    detail="'{' at byte 0: é",
    topic="events",
    partition=2,
    offset=17,
    append_time=1_700_000_000_123,
    source="orders",
    headers=(("Content-Type", b"application/json"), ("trace", b"\xff\x00"), ("trace", b"2")),
    value=b"\xff{",
)


def test_every_reason_and_header_has_its_meaning() -> None:
    assert [*REASONS] == [*get_args(Reason)]
    own = [name for name, _ in to_headers(LETTER) if not name.startswith(OF_ORIGIN)]
    assert [*HEADERS] == [*own, f"{OF_ORIGIN}NAME"]


def test_a_dead_letter_is_read_back_from_its_record() -> None:
    assert from_record(to_headers(LETTER), LETTER.value) == LETTER


def test_an_event_of_many_keeps_its_index_and_a_null_its_value() -> None:
    dead_letter = DeadLetter(
        reason="r", detail="", topic="a", partition=0, offset=1, index=4, append_time=5, value=None
    )

    assert from_record(to_headers(dead_letter), None) == dead_letter
    assert dead_letter.origin == "a/0/1/4"


def test_a_dead_letter_with_more_headers_than_a_message_holds_leaves_without_them() -> None:
    crowded = msgspec.structs.replace(LETTER, value=None, headers=(("x", b""),) * (LARGEST_DEAD_LETTER // 8))

    assert fitted(LETTER) is LETTER
    assert (fitted(crowded).value, fitted(crowded).headers) == (None, ())
    assert fitted(crowded).detail.startswith(crowded.detail)


def test_a_foreign_record_is_no_dead_letter() -> None:
    with pytest.raises(ValueError, match="peekproof-detail"):
        from_record([("peekproof-reason", b"x")], b"")


def test_a_dead_letter_goes_back_with_its_headers_append_time_and_origin() -> None:
    headers = resent_headers(LETTER)

    assert headers[:3] == list(LETTER.headers)
    assert resent_from(headers) == (1_700_000_000_123, ("events", 2, 17, None))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peekproof-origin", b"events/4294967296/1"),
        ("peekproof-origin", b"events/0/" + b"9" * 30),
        ("peekproof-origin", b"events"),
        ("peekproof-append-time", b"9" * 30),
        ("peekproof-append-time", b"-1"),
    ],
)
def test_a_record_with_a_place_or_time_that_no_table_holds_is_no_dead_letter(name: str, value: bytes) -> None:
    headers = dict(to_headers(LETTER)) | {name: value}

    assert resent_from(headers.items()) is None
    with pytest.raises(ValueError, match="no place and time"):
        from_record(headers.items(), b"")


def test_one_event_of_many_goes_back_without_the_content_type_of_the_many() -> None:
    dead_letter = DeadLetter(
        reason="r",
        detail="d",
        topic="events",
        partition=0,
        offset=1,
        index=2,
        append_time=5,
        headers=(("content-type", b"application/x-ndjson"), ("peekproof-append-time", b"4"), ("x", b"y")),
        value=b"{}",
    )

    assert dict(resent_headers(dead_letter)) == {
        "x": b"y",
        "peekproof-append-time": b"5",
        "peekproof-origin": b"events/0/1/2",
    }


def test_other_records_were_not_sent_again() -> None:
    assert resent_from([("peekproof-append-time", b"soon"), ("peekproof-origin", b"x")]) is None
    assert resent_from([]) is None
