"""Dead letters that are sent back: as many as there is time for, and that there are others is told."""

from time import monotonic

from pipeline.kafka.dead_letters import until
from schemas.dead_letter import DeadLetter


def test_what_there_is_no_time_for_is_told() -> None:
    letters = [
        DeadLetter(reason="not json", detail="-", topic="events", partition=0, offset=n, append_time=0, value=b"")
        for n in range(3)
    ]
    told: list[str] = []

    assert [*until(monotonic() + 60.0, letters, "not json", told)] == letters
    assert told == []
    assert [*until(monotonic(), letters, "not json", told)] == []
    assert told == [
        "it took too long, and was cut off at events/0/0: `peekproof dead-letters --resend --reason 'not json'` sends "
        "all of them"
    ]
