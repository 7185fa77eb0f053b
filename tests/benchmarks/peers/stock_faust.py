"""Stock Faust in its best form: raw bytes, msgspec, a dictionary. No guarantees.

    python stock_faust.py BOOTSTRAP EXPOSURES_TOPIC EVENTS_TOPIC RECORDS

Prints one JSON line when that many records were taken: {"records", "cpu_seconds", "wall_seconds", "answers"}.
"""

import os
import sys
import tempfile

import faust
import msgspec
from peer import Clock, Event, Exposure, State

bootstrap, exposures_topic, events_topic, records = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
app = faust.App(
    f"stock-{os.getpid()}",
    broker=f"kafka://{bootstrap}",
    store="memory://",
    datadir=tempfile.mkdtemp(),
    web_enabled=False,
    worker_redirect_stdouts=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    broker_max_poll_records=8000,
)
state, clock = State(), Clock()


def taken() -> None:
    state.taken += 1
    if state.taken == records:
        clock.tell(state)
        os._exit(0)


@app.agent(app.topic(exposures_topic, value_type=bytes, value_serializer="raw"))
async def expose(stream: faust.Stream) -> None:
    decode = msgspec.json.Decoder(Exposure).decode
    async for value in stream:
        clock.begin()
        state.expose(decode(value))
        taken()


@app.agent(app.topic(events_topic, value_type=bytes, value_serializer="raw"))
async def add(stream: faust.Stream) -> None:
    decode = msgspec.json.Decoder(Event).decode
    async for value in stream:
        clock.begin()
        state.add(decode(value))
        taken()


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "error"]
    app.main()
