"""A loop written by hand on librdkafka: consume(2000), msgspec, dictionaries. No windows, no repeats.

    python handwritten.py BOOTSTRAP EXPOSURES_TOPIC EVENTS_TOPIC RECORDS

Prints one JSON line when that many records were taken: {"records", "cpu_seconds", "wall_seconds", "sums"}.
"""

import json
import os
import sys
import time

import msgspec
from confluent_kafka import Consumer
from peer import Event, Exposure, State

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
state = State()
exposure = msgspec.json.Decoder(Exposure).decode
event = msgspec.json.Decoder(Event).decode
started: tuple[float, float] | None = None
while state.taken < records:
    messages = consumer.consume(2000, timeout=1.0)
    if messages and started is None:
        started = time.process_time(), time.monotonic()
    for message in messages:
        if message.topic() == exposures_topic:
            state.expose(exposure(message.value()))
        else:
            state.add(event(message.value()))
    state.taken += len(messages)
print(
    json.dumps(
        {
            "records": state.taken,
            "cpu_seconds": time.process_time() - started[0],
            "wall_seconds": time.monotonic() - started[1],
            "sums": state.sums(),
        }
    ),
    flush=True,
)
consumer.close()
