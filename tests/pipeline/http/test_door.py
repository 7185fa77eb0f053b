"""The door, of a server that wants keys: whoever has none gets little, and takes nothing from those who have one."""

import asyncio
import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from pipeline.http.callers.access import Access
from pipeline.http.callers.front import FRONT
from pipeline.http.callers.keys import Keys
from pipeline.http.callers.tickets import Tickets
from pipeline.http.door import MOST_TURNS, MOST_WAITING, TURNS, Door, Turns
from pipeline.settings import Settings
from tests.conftest import deployed
from tests.pipeline.http.catalog import publish
from tests.pipeline.http.server import Server, serving

EVENT = {"event_type": "purchase", "user_id": "user-1", "time": 1_700_000_000_000, "insert_id": "i"}
ONES = b'{"api_key":"server-nobody","events":[' + b"1," * 9_900_000 + b"1]}"  # 20 kB, packed


class Shop(NamedTuple):
    """A server, and keys to it."""

    server: Server
    settings: Settings
    client: str
    other: str
    admin: str

    def connect(self) -> socket.socket:
        host, port = self.server.address.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def upload(self, key: str) -> dict[str, Any]:
        return {"api_key": key, "events": [EVENT]}

    def post(self, key: str) -> int:
        return httpx.post(self.server.address + "/batch", json=self.upload(key), timeout=20).status_code


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with deployed(broker, tmp_path_factory.mktemp("data")) as settings:
        publish(settings)
        keys = Keys(settings.data)
        texts = [keys.create(role, "ann", "shop")[1] for role in ("client", "client")]
        admin = keys.create("admin", "ann")[1]
        with serving(settings, is_open=False) as server:
            yield Shop(server, settings, *texts, admin)


def status_of(connection: socket.socket) -> int:
    """What is answered, within a second."""
    connection.settimeout(1.0)
    return int(connection.recv(65_536)[9:12])


def test_who_has_no_key_is_refused_before_anything_is_unpacked(shop: Shop):
    process = psutil.Process(shop.server.process.pid)
    headers = {"content-encoding": "gzip"}
    packed = gzip.compress(ONES)
    with httpx.Client(base_url=shop.server.address, headers=headers) as client:
        client.post("/batch", content=packed)
        before, memory = process.cpu_times(), process.memory_info().rss
        answers = [client.post("/batch", content=packed) for _ in range(40)]
        took = sum(process.cpu_times()[:2]) - sum(before[:2])

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json()["error"].startswith("Invalid API key")
    assert took / len(answers) < 0.005
    assert process.memory_info().rss - memory < 20_000_000


def bodies(shop: Shop) -> list[tuple[str, str]]:
    """Method and path of everything that reads a body."""
    paths = httpx.get(f"{shop.server.address}/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"{\w+}", "1", path))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation and path != "/api/1/session"  # whose body is the key, and small
    ]


def test_who_has_no_key_is_refused_before_the_body_has_come_whatever_it_is_for(shop: Shop):
    asked = bodies(shop)
    assert len(asked) > 25

    found = {}
    for method, path in asked:
        front = b" " * (FRONT + 1) if path in {"/batch", "/2/httpapi", "/identify", "/groupidentify"} else b""
        with shop.connect() as connection:
            connection.sendall(f"{method} {path} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n".encode() + front)
            found[method, path] = status_of(connection)

    assert {each: status for each, status in found.items() if status != 401} == {}


def test_a_users_header_is_not_read_without_a_key(shop: Shop):
    user = {"X-Amp-Exp-User": "no base64"}

    assert httpx.get(f"{shop.server.address}/sdk/v2/vardata", headers=user).status_code == 401
    user["Authorization"] = f"Api-Key {shop.client}"
    assert httpx.get(f"{shop.server.address}/sdk/v2/vardata", headers=user).status_code == 400


def test_a_key_stands_at_the_front_of_an_upload_or_in_its_head(shop: Shop):
    large = [EVENT | {"event_properties": {"text": "x" * 1_000}}] * 100
    front, back = {"api_key": shop.client, "events": large}, {"events": large, "api_key": shop.client}
    bearer = {"authorization": f"Bearer {shop.client}"}

    def send(content: bytes | Any, **headers: str) -> tuple[int, str]:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = httpx.post(f"{shop.server.address}/batch", content=content, headers=headers, timeout=20)
        return answer.status_code, answer.json().get("error", "")

    assert send(front)[0] == send(gzip.compress(json.dumps(front).encode()), **{"content-encoding": "gzip"})[0] == 200
    assert send(back, **bearer)[0] == send({"events": large}, **bearer)[0] == 200
    assert send({"events": [EVENT], "api_key": shop.client})[0] == 200
    assert send({"events": [EVENT | {"event_properties": {"api_key": "x"}}], "api_key": shop.client})[0] == 200
    assert send(front, authorization="Basic YTpi")[0] == 200  # of a proxy before us
    status, error = send(back)
    assert (status, "write api_key before the events" in error) == (401, True)
    nested = {"api_key": "client-nobody", "events": [EVENT | {"event_properties": {"api_key": shop.client}}]}
    assert send(nested)[0] == 401


def test_uploads_without_a_key_take_no_place_of_those_with_one(shop: Shop):
    with ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(shop.connect())
            connection.sendall(b"POST /batch HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n")
            for _ in range(40):
                try:
                    connection.sendall(b" " * 500_000)
                except ConnectionError:  # it was refused, and did not listen
                    break

        assert shop.post(shop.client) == 200


def test_uploads_of_one_key_leave_places_for_another(shop: Shop):
    begin = b'{"api_key":"%b","events":[' % shop.client.encode()
    with ExitStack() as stack:
        statuses = []
        for _ in range(7):
            connection = stack.enter_context(shop.connect())
            connection.sendall(b"POST /batch HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n" + begin)
            connection.sendall(b" " * (19_999_999 - len(begin)))
            connection.settimeout(0.3)
            try:
                statuses.append(int(connection.recv(1_000)[9:12]))
            except TimeoutError:
                statuses.append(0)  # it waits for the last byte

        assert statuses == [0, 0, 0, 0, 0, 503, 503]  # half of 200 MB
        assert shop.post(shop.client) == 503
        assert shop.post(shop.other) == 200


def test_who_asks_on_and_on_without_a_key_waits_and_probes_and_keys_do_not(shop: Shop):
    with ExitStack() as stack:
        flood = [stack.enter_context(shop.connect()) for _ in range(60)]
        for connection in flood:
            connection.sendall(b"GET /nothing HTTP/1.1\r\n\r\n" * 10)
        time.sleep(0.2)

        limits = httpx.Limits(max_keepalive_connections=0)
        client = stack.enter_context(httpx.Client(base_url=shop.server.address, limits=limits, timeout=20))
        began = time.monotonic()
        statuses = [client.get("/healthz").status_code for _ in range(5)]
        statuses += [client.post("/batch", json=shop.upload(shop.client)).status_code for _ in range(5)]
        took = time.monotonic() - began
        told = httpx.get(f"{shop.server.address}/metrics").text
        answered = 0
        for connection in flood:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                answered += connection.recv(1_000_000).count(b"HTTP/1.1 404")

    assert statuses == [200] * 10
    assert took < 5.0
    assert answered < MOST_TURNS
    assert 'peekproof_http_connections{of="strangers"}' in told


def test_a_client_that_leaves_during_an_upload_is_no_failure_of_the_server(shop: Shop):
    with shop.connect() as connection:
        connection.sendall(b"POST /batch HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        connection.sendall(b'{"api_key":"%b","events":[' % shop.client.encode())
        time.sleep(0.1)

    deadline = time.monotonic() + 5
    while 'route="/batch",status="499"' not in (told := httpx.get(f"{shop.server.address}/metrics").text):
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    assert 'status="500"' not in told


def test_turns_are_so_many_a_second_and_the_newest_goes_first():
    async def ask() -> list[tuple[int, bool]]:
        began: list[float] = []  # once all of them wait, however long the machine takes for that
        turns = Turns(clock=lambda: time.monotonic() - began[0] if began else 0.0)
        assert await turns.next(turns=MOST_TURNS + 10)
        order: list[tuple[int, bool]] = []

        async def wait(i: int) -> None:
            if i == MOST_WAITING:
                began.append(time.monotonic())
            order.append((i, await turns.next()))

        waiting = [asyncio.create_task(wait(i)) for i in range(MOST_WAITING + 1)]
        await asyncio.gather(*waiting[-10:])
        assert time.monotonic() - began[0] > 20 / TURNS * 0.9
        for task in waiting:
            task.cancel()
        return order

    order = asyncio.run(ask())

    assert order[:11] == [(0, False), *((MOST_WAITING - i, True) for i in range(10))]


def test_a_key_beyond_its_rate_waits_for_itself_alone(tmp_path: Any):
    keys = Keys(tmp_path)
    (ann, of_ann), (bob, of_bob) = keys.create("viewer", "ann"), keys.create("viewer", "bob")
    access = Access(keys, clock=lambda: 0.0)
    for _ in range(100):
        access.admit(of_ann, ["viewer"])
    seen = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["state"]["caller"])

    async def ask(door: Door, text: str) -> None:
        scope: Any = {
            "path": "/api/1/overview",
            "method": "GET",
            "headers": [(b"authorization", f"Bearer {text}".encode())],
        }
        await door(scope, app, app)  # type: ignore[arg-type]

    async def try_it() -> None:
        door = Door(app, access, Tickets())
        of_a_key = [asyncio.create_task(ask(door, of_ann)) for _ in range(MOST_TURNS + 20)]
        await asyncio.sleep(0)
        await ask(door, of_bob)
        await ask(door, "viewer-unknown")
        await asyncio.gather(*of_a_key)

    asyncio.run(try_it())

    assert [key for key in seen if key != ann] == [bob, None]
    assert seen.index(None) < len(seen) - 1
