"""The process under test: a worker that says what the transport tells it."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import faust

from pipeline.kafka.columnar.app import create_app, run


def work(told, to, errors):
    """`told`: servers, group, topics, and how to behave. What it says goes to a connection, its log to a file."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    app = create_app(told["group"], told["servers"], **told.get("conf", {}))
    app.fetch_min_bytes, app.fetch_wait_ms = 1 << 20, 100  # slices of many records
    checkpoints = Path(told["checkpoints"]) if "checkpoints" in told else None
    states = {}

    def say(what, **about):
        to.send(json.dumps({"say": what, "at": time.monotonic(), **about}))

    async def start_position(tp, log):
        say("start", topic=tp.topic, partition=tp.partition, earliest=log.begin)
        if checkpoints is None:
            return told.get("starts", {}).get(str(tp.partition))
        file = checkpoints / str(tp.partition)
        states[tp] = json.loads(file.read_text()) if file.exists() else {"offset": 0, "n": 0, "sum": 0}
        return states[tp]["offset"]

    def begin(tp, offset):
        say("begin", topic=tp.topic, partition=tp.partition, offset=offset)

    async def take(tp, records):
        values = [records.value(row) for row in range(len(records))]
        if told.get("fail_at") in records.offset.tolist():
            say("fail", begin=records.begin)
            raise RuntimeError("told to fail")
        if checkpoints is not None:
            state = states[tp]
            assert records.begin == state["offset"]
            state["offset"] = records.end
            state["n"] += len(values)
            state["sum"] += sum(map(int, values))
            scratch = checkpoints / f"{tp.partition}.{os.getpid()}"
            scratch.write_text(json.dumps(state))
            scratch.replace(checkpoints / str(tp.partition))
        await asyncio.sleep(told.get("work", 0))
        if told.get("when_released"):
            pending[tp] = records.end
        elif not told.get("never_durable"):
            app.durable(tp, records.end)
        say(
            "slice",
            topic=tp.topic,
            partition=tp.partition,
            begin=records.begin,
            end=records.end,
            offsets=records.offset.tolist(),
            times=records.append_time.tolist(),
            values=[None if value is None else value[:50].decode() for value in values],
            sizes=[None if value is None else len(value) for value in values],
            headers={row: [(key, value.decode()) for key, value in of] for row, of in records.headers.items()},
        )

    pending = {}

    async def release(tps):
        say("release", partitions=sorted(tp.partition for tp in tps), places=sorted(tps))
        for tp in tps:
            if tp in pending:
                app.durable(tp, pending.pop(tp))

    async def prepare():
        say("prepare")
        await asyncio.sleep(told.get("prepare", 0))

    app.prepare = prepare
    app.start_position, app.begin, app.release = start_position, begin, release
    app.each_slice(told["topics"], take)

    if "reads" in told:
        read = [list(told["topics"])]

        @app.timer(0.1)
        async def change():
            topics = json.loads(Path(told["reads"]).read_text())
            if topics != read[-1]:
                read.append(topics)
                await app.read(topics)
                say("change", topics=topics)

    if "single" in told:

        @app.agent(app.topic(told["single"], value_serializer="raw"))
        async def single(stream: faust.Stream) -> None:
            async for event in stream.events():
                say("record", offset=event.message.offset, value=event.value.decode())

    @app.timer(0.2)
    async def report():
        held = list(app.consumer.positions)
        ends = await app.end_offsets(held)
        say(
            "ends",
            positions={tp.partition: app.position(tp) for tp in held if tp in app.consumer.positions},
            ends={tp.partition: end for tp, end in ends.items()},
        )

    if "round" in told:

        async def round_of_work():
            say("round begins")
            await asyncio.sleep(told["round"])
            say("round ends")

        async def finish():
            say("finish")

        app.regularly(0.01, round_of_work)
        app.finish = finish

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # as the command line has it, until the app is prepared
    run(app)
