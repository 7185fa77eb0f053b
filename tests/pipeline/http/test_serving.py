"""The server's process: it answers, is watched, bears what is hostile, and ends."""

import asyncio
import gzip
import json
import logging
import signal
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import httpx
import msgspec
import pytest
import trustme

from pipeline.errors import PeekproofError
from pipeline.http.app import create_app
from pipeline.http.backend import MOST_UPLOADED, Backend
from pipeline.http.callers.access import Access
from pipeline.http.callers.keys import Keys
from pipeline.http.ingest.delivery import Delivery
from pipeline.http.ingest.uploads import Record
from pipeline.http.serving import serve
from pipeline.listening import listen
from pipeline.settings import Settings
from schemas.topics import EVENTS
from tests.live import wait_for
from tests.pipeline.http import jvm_clients
from tests.pipeline.http.server import Server, serving
from tests.pipeline.http.topics import said_of


async def post(backend: Backend, upload: object) -> httpx.Response:
    """What a server over it answers to an upload, which comes packed."""
    transport = httpx.ASGITransport(create_app(backend))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        packed = gzip.compress(json.dumps(upload).encode())
        return await client.post("/2/httpapi", content=packed, headers={"content-encoding": "gzip"})


def test_it_answers_that_it_is_there_and_ready_and_counts_that_by_route(open_server: Server):
    assert httpx.get(f"{open_server.address}/healthz").text == "ok"
    assert httpx.get(f"{open_server.address}/readyz").status_code == 200
    assert httpx.head(f"{open_server.address}/healthz").status_code == 200

    told = httpx.get(f"{open_server.address}/metrics").text
    assert 'peekproof_http_requests_total{method="GET",route="/readyz",status="200"} 1.0' in told
    assert "process_cpu_seconds_total" in told


@pytest.fixture(scope="module")
def certified(shop: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, ssl.SSLContext]]:
    """A server that speaks TLS, and what trusts it."""
    authority, place = trustme.CA(), tmp_path_factory.mktemp("tls")
    certificate, trusting = authority.issue_cert("127.0.0.1"), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(place / "server.pem"), append=number > 0)
    certificate.private_key_pem.write_to_path(str(place / "server.key"))
    files = {"http_certfile": place / "server.pem", "http_keyfile": place / "server.key"}
    with serving(msgspec.structs.replace(shop, **files)) as server:
        yield server, trusting


def test_f22_the_server_speaks_tls_by_itself(certified: tuple[Server, ssl.SSLContext]):
    server, trusting = certified
    assert server.address.startswith("https://127.0.0.1:")
    address = httpx.URL(server.address)

    with httpx.Client(base_url=address, verify=trusting, timeout=30) as client:
        assert client.get("/readyz").text == "ok"
        body = b" " * 3_000_000  # which is refused while it still comes
        assert client.post("/2/httpapi", content=body).status_code == 413
        with client.stream("GET", "/sdk/stream/v1/flags") as told:
            assert next(told.iter_lines()).startswith("data: [")

    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{server.address}/readyz")
    with socket.create_connection((address.host, address.port), timeout=10) as plain:
        plain.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
        assert plain.recv(1_000) == b""


def test_f22_amplitudes_sdk_for_java_which_speaks_https_only_is_heard(
    certified: tuple[Server, ssl.SSLContext], shop: Settings, tmp_path: Path
):
    server, trusting = certified
    (authority,) = trusting.get_ca_certs(binary_form=True)

    told = jvm_clients.ask("event", server.address, "any", "java-user", trusting=jvm_clients.store(authority, tmp_path))

    assert told == {"status": 200}
    wait_for(lambda: said_of(shop, EVENTS, "java-user"), what="the event")


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\n"])
def test_f22_a_certificate_of_no_use_is_told(shop: Settings, tmp_path: Path, text: str):
    file = tmp_path / "server.pem"
    file.write_text(text)

    with pytest.raises(PeekproofError, match=r"server.pem' is of no use for TLS .* set PEEKPROOF_HTTP_CERTFILE"):
        serve(msgspec.structs.replace(shop, http_certfile=file), "127.0.0.1", 0, True, print)


def test_every_answer_forbids_inline_code_and_frames(open_server: Server):
    for path, status in (("/", 200), ("/healthz", 200), ("/nothing/here", 404)):
        answer = httpx.get(open_server.address + path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{open_server.address}/main.js").headers["cache-control"] == "no-cache"


def test_an_open_server_listens_to_no_other_site(open_server: Server):
    def status(**headers: str) -> int:
        return httpx.get(f"{open_server.address}/api/1/overview", headers=headers).status_code

    assert (status(), status(origin=open_server.address)) == (200, 200)
    assert (status(origin="https://elsewhere.example"), status(origin="null")) == (403, 403)
    assert (status(host="elsewhere.example"), status(host="127.0.0.1.elsewhere.example")) == (403, 403)


@pytest.mark.parametrize("path", ["..%2fapp.py", "%2e%2e/app.py", "vendor/..%2f..%2fapp.py", "%00", "a" * 5_000])
def test_a_file_that_is_none_of_the_consoles_is_not_there(open_server: Server, path: str):
    assert httpx.get(f"{open_server.address}/{path}").status_code == 404


def test_a_head_that_does_not_end_is_cut_off(open_server: Server):
    host, port = open_server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        connection.settimeout(0.02)
        answer, sent = b"", 0
        while not answer and sent < 1_000_000:
            sent += connection.send(b"a" * 10_000)
            with suppress(TimeoutError):
                answer = connection.recv(1_000)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert sent > 200_000


def test_what_fails_is_logged_without_words_that_might_name_a_unit(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    class Failing(Delivery):
        def __init__(self) -> None: ...

        async def send(self, records: Iterable[Record], _: str) -> NoReturn:
            raise KeyError(*records)

    backend = Backend(Settings(data=tmp_path), Access(Keys(tmp_path), is_open=True))
    backend.delivery = Failing()
    event = {"event_type": "purchase", "user_id": "ann-of-the-shop"}

    with caplog.at_level(logging.DEBUG):
        answer = asyncio.run(post(backend, {"api_key": "client-abc", "events": [event]}))

    assert answer.status_code == 500
    assert "POST /2/httpapi failed with KeyError" in caplog.text
    assert "raise KeyError(*records)" in caplog.text
    assert not [word for word in ("ann-of-the-shop", "client-abc") if word in caplog.text + answer.text]


@pytest.mark.parametrize(
    ("room", "status"), [(0, 503), (500, 503), (200_000, 200)], ids=["none", "for what comes", "for what it holds"]
)
def test_what_is_under_way_at_once_is_bounded_as_it_is_unpacked(tmp_path: Path, room: int, status: int):
    class Waiting(Delivery):
        def __init__(self) -> None:
            self.meanwhile = 0

        async def send(self, *_: object) -> None:
            self.meanwhile = backend.uploads.taken

    backend = Backend(Settings(data=tmp_path), Access(Keys(tmp_path), is_open=True))
    backend.delivery = delivery = Waiting()
    backend.uploads.taken = before = MOST_UPLOADED - 2 * room  # of which half may be taken
    event = {"event_type": "purchase", "user_id": "user-1", "event_properties": {"a": "x" * 100_000}}

    answer = asyncio.run(post(backend, {"api_key": "any", "events": [event]}))

    assert (answer.status_code, answer.headers.get("retry-after")) == (status, "1" if status == 503 else None)
    assert status == 503 or delivery.meanwhile - before > 100_000  # while the brokers are waited for
    assert backend.uploads.taken == before


def test_a_port_that_is_taken_is_a_clear_word(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PeekproofError) as refused:
        serve(Settings(data=tmp_path), "127.0.0.1", taken.getsockname()[1], False, print)

    assert "cannot be had (Address already in use); choose another by --port or PEEKPROOF_HTTP_PORT" in str(
        refused.value
    )


def test_a_host_that_has_no_address_is_a_clear_word():
    with pytest.raises(
        PeekproofError, match=r"'no\.such\.host\.invalid' is no address.*; say another by --host"
    ) as refused:
        listen("no.such.host.invalid", 0)

    assert "nknown error" not in str(refused.value)


@pytest.mark.parametrize(
    ("is_open", "says"),
    [(False, "there are no keys yet; create one with `peekproof key create admin`"), (True, "or without --open")],
)
def test_beyond_loopback_it_wants_keys(tmp_path: Path, is_open: bool, says: str):
    with pytest.raises(PeekproofError, match=says):
        serve(Settings(data=tmp_path), "0.0.0.0", 0, is_open, print)


def test_a_stream_ends_with_the_server_which_ends_well(shop: Settings):
    with serving(shop) as server, httpx.stream("GET", f"{server.address}/sdk/stream/v1/flags") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: [{")
        assert "peekproof_http_streams 1.0" in httpx.get(f"{server.address}/metrics").text

        server.process.send_signal(signal.SIGTERM)

        assert [*lines] == [""]
    assert server.process.returncode == 0
