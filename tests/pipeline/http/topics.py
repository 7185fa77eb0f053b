"""What topics hold, message by message."""

import json
from typing import Any

from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings


def said_of(settings: Settings, topic: str, user: str) -> list[dict[str, Any]]:
    """What the topic says of a user."""
    lines = [line for record in read_topic(settings, topic) for line in (record.value or b"").splitlines()]
    return [each for each in map(json.loads, lines) if each.get("user_id") == user]
