import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient

from pipeline.errors import PeekproofError
from pipeline.local_kafka.broker import Broker, running

REPOSITORY = Path(__file__).parents[3]


def produce(servers: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    for value in values:
        producer.send("kept", value)
    producer.flush()
    producer.close()


def consume(servers: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        "kept", bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    values = [record.value for _, record in zip(range(count), consumer, strict=False)]
    consumer.close()
    return values


def _stall(broker: Broker, seconds: float) -> None:
    """As on a machine that has no time for it, or sleeps."""
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(broker.pid, signal.SIGCONT)


def gone(directory: Path) -> bool:
    """Whether no broker runs on the directory any more, after a while at most."""
    deadline = time.monotonic() + 30
    while (directory / "bootstrap_servers").exists() and running(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    return running(directory) is None


def test_data_survives_a_stall_a_stop_and_a_kill_at_the_same_address(tmp_path: Path) -> None:
    directory = tmp_path / "a päth, with = all: of it"
    broker = Broker(directory)
    values = [str(number).encode() for number in range(30)]

    servers = broker.start()
    try:
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        produce(servers, values[:10])
        _stall(broker, seconds=4)
        broker.stop()
        assert broker.pid is None
        assert running(directory) is None
        assert "Fencing broker" not in (directory / "broker.log").read_text()  # else no partition had a leader

        assert broker.start() == servers
        produce(servers, values[10:20])
        broker.kill()
        assert running(directory) is None

        assert broker.start() == servers == running(directory)
        produce(servers, values[20:])
        assert consume(servers, 30) == values
    finally:
        broker.stop()
    assert "Kafka Server started" in (directory / "broker.log").read_text()


def test_port_that_is_taken_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PeekproofError, match=rf"port {port} of 127\.0\.0\.1 cannot be used .*--port"):
            Broker(tmp_path, port).start()


def test_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")

    with pytest.raises(PeekproofError, match=r"did not start: .*Stored node id 7 doesn't match.*broker\.log") as raised:
        Broker(tmp_path).start()

    assert str(tmp_path) in str(raised.value)
    assert running(tmp_path) is None


def test_command_runs_a_broker_until_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "broker", "--port", "0"]
    environment = os.environ | {"PEEKPROOF_DATA": str(tmp_path), "PEEKPROOF_BOOTSTRAP_SERVERS": ""}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    directory = tmp_path / "broker"
    try:
        servers = process.stdout.readline().strip()

        assert running(directory) == servers
        with pytest.raises(PeekproofError, match=rf"has a broker already \(at {servers}\): a directory has one"):
            Broker(directory).start()
        topics = subprocess.run(
            [*command[:3], "topics", "--json"], cwd=REPOSITORY, env=environment, capture_output=True, check=True
        )
        assert b'"topic":"exposures","setting":"partitions","found":"none"' in topics.stdout

        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert running(directory) is None
    assert "shut down completed" in (directory / "broker.log").read_text()


def test_broker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        f"from pipeline.local_kafka.broker import Broker; print(Broker({str(tmp_path)!r}).start(), flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline().strip() == running(tmp_path)

    parent.kill()
    parent.communicate()

    assert gone(tmp_path)
    assert "shut down completed" in (tmp_path / "broker.log").read_text()
