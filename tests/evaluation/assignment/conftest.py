"""What the tests of assignment share."""

import msgspec
import pytest

from evaluation.assignment.routing import assign
from tests.evaluation.assignment.routed import BUTTON, DRAFT, HORIZON, NOW, PLAIN, TOLERANCE, shop


@pytest.fixture(scope="module")
def history():
    """Three flags that run and a draft."""
    topic = shop().run(BUTTON, PLAIN)
    topic.apply(DRAFT)
    return topic.history


@pytest.fixture
def route(records_of, history):
    """Routes messages (dicts, bytes, or (value, headers)) of one topic, in one slice, appended at `at`."""

    def route_(*messages, topic="events", at=NOW, catalog=None):
        rows = []
        for i, message in enumerate(messages):
            value, headers = message if isinstance(message, tuple) else (message, ())
            value = msgspec.json.encode(value) if isinstance(value, dict) else value
            rows.append((100 + i, at, value, headers))
        (assigned,) = assign(records_of(rows, topic=topic), catalog or history, HORIZON, TOLERANCE)
        return assigned

    return route_
