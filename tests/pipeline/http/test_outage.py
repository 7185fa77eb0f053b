"""The broker is killed while SDKs evaluate and send: evaluations go on, and nothing that was acknowledged is lost."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import aiohttp
import msgspec
import pytest

from pipeline import topics
from pipeline.broker import Broker
from pipeline.reading import read_topic
from pipeline.settings import Settings
from schemas.topics import EVENTS
from tests.pipeline.http.catalog import BUTTON, PURCHASE, STICKY, publish
from tests.pipeline.http.server import serving

RATE = 250  # a second of each kind of request, where the machine allows it
EVALUATING, SENDING = 10, 250  # clients at once; those who send wait while the broker is away
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 2.0


class Load:
    """Clients that evaluate users and send events, and what they heard."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session
        self.is_over = False
        self.evaluations: Counter[int] = Counter()  # by status
        self.acknowledged: dict[str, int] = {}  # the time of each event by its insert_id
        self.refusals: Counter[int] = Counter()  # by status

    async def run(self) -> None:
        """Until it is over and every event was acknowledged."""
        async with asyncio.TaskGroup() as clients:
            for number in range(EVALUATING):
                clients.create_task(self._evaluate(number, EVALUATING / RATE))
            for number in range(SENDING):
                clients.create_task(self._send(number, SENDING / RATE))

    async def _evaluate(self, client: int, interval: float) -> None:
        headers, number = {"X-Amp-Exp-Exposure-Track": "track"}, 0
        while not self.is_over:
            due, number = time.monotonic() + interval, number + 1
            user = {"user_id": f"user-{client}-{number}"}
            async with self._session.post(f"{self._address}/sdk/v2/vardata", json=user, headers=headers) as answer:
                self.evaluations[answer.status] += 1
            await asyncio.sleep(due - time.monotonic())

    async def _send(self, client: int, interval: float) -> None:
        number = 0
        while not self.is_over:
            due, number, now = time.monotonic() + interval, number + 1, time.time_ns() // 1_000_000
            name = f"id-{client}-{number}"
            event = {"event_type": "purchase", "user_id": f"user-{client}", "time": now, "insert_id": name}
            while name not in self.acknowledged:
                upload = {"api_key": "any", "events": [event]}
                async with self._session.post(f"{self._address}/2/httpapi", json=upload) as answer:
                    if answer.status == 200:
                        self.acknowledged[name] = now
                    else:
                        self.refusals[answer.status] += 1
                        await asyncio.sleep(0.5)
            await asyncio.sleep(due - time.monotonic())


async def endure(broker: Broker, address: str, outage: float) -> Load:
    """Kill the broker under load, and start it again so many seconds later."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(address, session)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(BEFORE_SECONDS)
        broker.kill()
        await asyncio.sleep(outage / 2)
        before = load.evaluations.total()
        await asyncio.sleep(outage / 2)
        assert load.evaluations.total() > before, "evaluations did not go on"
        await asyncio.to_thread(broker.start)
        await asyncio.sleep(AFTER_SECONDS)
        load.is_over = True
        await asyncio.wait_for(running, 60)
        return load


def test_evaluations_go_on_and_no_acknowledged_event_is_lost_or_another(tmp_path: Path, pytestconfig: pytest.Config):
    with Broker(tmp_path / "broker") as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data=tmp_path / "data", units_partitions=4)
        topics.create(settings)
        publish(settings, [PURCHASE, BUTTON, STICKY])
        with serving(settings) as server:
            load = asyncio.run(endure(broker, server.address, pytestconfig.getoption("--outage")))

            assert load.evaluations.keys() == {200}
            assert load.refusals.keys() <= {503}
            found: dict[str, set[int]] = {}
            for record in read_topic(settings, EVENTS):
                for line in record.value.splitlines():
                    event = msgspec.json.decode(line)
                    found.setdefault(event["insert_id"], set()).add(event["time"])
            # The same id at the same time is one event, however often it stands there.
            assert found == {name: {at} for name, at in load.acknowledged.items()}
            broker.kill()  # and the server ends well without
