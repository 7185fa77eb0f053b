"""The server's process: it answers, is watched, and ends."""

import os
import signal
import socket
import subprocess
import sys

import httpx

from pipeline.settings import Settings
from tests.pipeline.http.server import Server, serving


def serve(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "serve", *arguments]
    environment = os.environ | settings.environment()
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_answers_that_it_is_there_and_ready_and_counts_that_by_route(server: Server):
    assert httpx.get(f"{server.address}/healthz").text == "ok"
    assert httpx.get(f"{server.address}/readyz").status_code == 200

    told = httpx.get(f"{server.address}/metrics").text
    assert 'peekproof_http_requests_total{method="GET",route="/readyz",status="200"} 1.0' in told
    assert "process_cpu_seconds_total" in told


def test_every_answer_forbids_inline_code_and_frames(server: Server):
    for path, status in (("/", 200), ("/healthz", 200), ("/nothing/here", 404)):
        answer = httpx.get(server.address + path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{server.address}/main.js").headers["cache-control"] == "no-cache"


def test_a_port_that_is_taken_is_a_clear_word(deployment: Settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = serve(deployment, f"--port={taken.getsockname()[1]}")

    assert ended.returncode == 2
    assert "cannot be had (Address already in use); choose another by --port or PEEKPROOF_HTTP_PORT" in ended.stderr


def test_beyond_loopback_it_wants_keys(deployment: Settings):
    ended = serve(deployment, "--host=0.0.0.0", "--port=0")

    assert ended.returncode == 2
    assert "there are no keys yet; create one with `peekproof key create admin`" in ended.stderr


def test_a_stream_ends_with_the_server_which_ends_well(deployment: Settings):
    with serving(deployment) as server, httpx.stream("GET", f"{server.address}/sdk/stream/v1/flags") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "data: []"

        server.process.send_signal(signal.SIGTERM)

        assert [*lines] == [""]
    assert server.process.returncode == 0
