"""Tracking: the same answers of a user are written once a day, if they can be."""

from types import SimpleNamespace
from typing import Any

from evaluation.flags.compiled import Answer
from pipeline.http.evaluate.flags import FlagMemory
from pipeline.http.evaluate.sticky import Sticky
from pipeline.http.evaluate.tracking import Tracker
from pipeline.http.ingest.outbox import MOST_BYTES, Outbox
from pipeline.settings import Settings
from schemas.topics import EVENTS

METADATA = {"deployed": True, "flagVersion": 2, "experimentKey": "exp-1"}
ANSWERS = {"button": Answer(key="treatment", value=None, payload=None, metadata=METADATA, reason="segment")}
FLAGS: Any = SimpleNamespace(
    deployment="web",
    breakdowns={},
    each=lambda make, answers: [make(FLAGS, key, answer) for key, answer in answers.items()],
)


def test_what_found_no_room_for_its_deployment_is_written_at_the_next_occasion():
    waiting = Outbox(Settings())
    tracker = Tracker(waiting, FlagMemory(), Sticky(most=10))

    def track() -> tuple[int, int]:
        tracker.expose(FLAGS, {"user_id": "ann"}, ANSWERS)
        tracker.assign(FLAGS, {"user_id": "ann"}, ANSWERS, {})
        return waiting.waiting, waiting.lost

    waiting.room.take("web", MOST_BYTES // 2)
    assert track() == (0, 2)
    assert waiting.add(EVENTS, [(None, b"another's", [])], holder="shop")
    waiting.room.give("web", MOST_BYTES // 2)
    assert track() == (3, 2)
    assert track() == (3, 2)
