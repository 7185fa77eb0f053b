"""A loop written by hand on librdkafka: consume(2000), msgspec, dictionaries. No windows, no repeats.

    python handwritten.py BOOTSTRAP EXPOSURES_TOPIC EVENTS_TOPIC RECORDS

Prints one JSON line when that many records were taken: {"records", "cpu_seconds", "wall_seconds", "answers"}.
"""

import os
import sys

import msgspec
from confluent_kafka import Consumer
from peer import Clock, Event, Exposure, State

bootstrap, exposures_topic, events_topic, records = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": f"handwritten-{os.getpid()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe([exposures_topic, events_topic])
state, clock = State(), Clock()
exposure = msgspec.json.Decoder(Exposure).decode
event = msgspec.json.Decoder(Event).decode
while state.taken < records:
    messages = consumer.consume(2000, timeout=1.0)
    if messages:
        clock.begin()
    for message in messages:
        if message.topic() == exposures_topic:
            state.expose(exposure(message.value()))
        else:
            state.add(event(message.value()))
    state.taken += len(messages)
clock.tell(state)
consumer.close()
