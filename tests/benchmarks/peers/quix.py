"""Quix Streams in its best form: raw bytes, msgspec, a dictionary of our own instead of its state. No guarantees.

    python quix.py BOOTSTRAP EXPOSURES_TOPIC EVENTS_TOPIC RECORDS

Prints one JSON line when that many records were taken: {"records", "cpu_seconds", "wall_seconds", "answers"}.
"""

import os
import sys

import msgspec
from peer import Clock, Event, Exposure, State
from quixstreams import Application

bootstrap, exposures_topic, events_topic, records = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
app = Application(
    broker_address=bootstrap,
    consumer_group=f"quix-{os.getpid()}",
    auto_offset_reset="earliest",
    auto_create_topics=False,
    use_changelog_topics=False,
    commit_interval=3_600.0,
    request_timeout=60.0,
    loglevel="ERROR",
)
state, clock = State(), Clock()
exposure = msgspec.json.Decoder(Exposure).decode
event = msgspec.json.Decoder(Event).decode


def taken() -> None:
    state.taken += 1
    if state.taken == records:
        clock.tell(state)
        os._exit(0)


def expose(value: bytes) -> None:
    clock.begin()
    state.expose(exposure(value))
    taken()


def add(value: bytes) -> None:
    clock.begin()
    state.add(event(value))
    taken()


for name, take in ((exposures_topic, expose), (events_topic, add)):
    app.dataframe(topic=app.topic(name, value_deserializer="bytes")).update(take)
app.run()
