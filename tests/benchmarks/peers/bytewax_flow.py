"""Bytewax in its best form: batches of raw bytes, msgspec, a dictionary of our own instead of its state. No guarantees.

    python bytewax_flow.py BOOTSTRAP EXPOSURES_TOPIC EVENTS_TOPIC RECORDS

Prints one JSON line when that many records were taken: {"records", "cpu_seconds", "wall_seconds", "answers"}.
"""

import sys

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from peer import Clock, Event, Exposure, State

bootstrap, exposures_topic, events_topic, records = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
state, clock = State(), Clock()
exposure = msgspec.json.Decoder(Exposure).decode
event = msgspec.json.Decoder(Event).decode


def expose(messages: list[KafkaSourceMessage]) -> list[str]:
    clock.begin()
    for message in messages:
        state.expose(exposure(message.value))
    state.taken += len(messages)
    return []


def add(messages: list[KafkaSourceMessage]) -> list[str]:
    clock.begin()
    for message in messages:
        state.add(event(message.value))
    state.taken += len(messages)
    return []


flow = Dataflow("sums")
for name, topic, take in (("expose", exposures_topic, expose), ("add", events_topic, add)):
    source = KafkaSource([bootstrap], [topic], tail=False, batch_size=2_000)
    nothing = op.flat_map_batch(name, op.input(f"{name}-in", flow, source), take)
    op.output(f"{name}-out", nothing, StdOutSink())
run_main(flow)
assert state.taken == records, f"{state.taken} records of {records}"
clock.tell(state)
