"""Faults: the kinds of what befalls a deployment. Each is a function that returns once it has passed, and tells what it
did; others may befall the deployment meanwhile.
"""

import os
import random
import signal
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from pipeline.catalog import editing
from pipeline.catalog.topic import CatalogWriter, key_of
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.processes.supervisor import SCALED, SupervisedProcess
from pipeline.stages import STAGES
from schemas.catalog import Cohort, Flag, Group, GroupSlot, Metric
from schemas.topics import CATALOG, SOURCES
from tests.faults.deployment import SIGNATURE, Deployment
from tests.faults.lag import Lag, Recovery

SESSION_SECONDS = 10.0  # after which a worker that says nothing is taken for dead
STRANGERS = (None, b"hello", b'{"a":1}', b"")
INTERNAL = ("units", "assignments", "aggregates", "results", "catalog", "dead-letters", "health")
MOST_PARTITIONS = 16
KEYLESS = (
    b"POST /batch HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
    % (len(bomb := zlib.compress(b"1" * 9_900_000, wbits=31)), bomb),
    b"POST /2/httpapi HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n{",
    b"POST /batch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n{}",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET /sdk/v2/vardata HTTP/1.1\r\nauthorization: Api-Key \xff\xfe\r\nhost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"\r\n" * 5_000,
)


class Scene(NamedTuple):
    """A deployment under faults. `killed`: the names of those whose end was our doing, once for each."""

    deployment: Deployment
    lag: Lag
    recoveries: list[Recovery]
    killed: list[str]

    def kill(self, worker: SupervisedProcess) -> None:
        """End a worker's process at once."""
        self.killed.append(worker.name)
        if worker.name in STAGES:
            self.recoveries.append(self.lag.wait_for_recovery(worker.name, worker.process.pid))
        worker.process.kill()

    @contextmanager
    def frozen(self, worker: SupervisedProcess) -> Iterator[None]:
        """A worker that does nothing any more, and is then killed."""
        worker.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.kill(worker)

    def living(self, chance: random.Random, *names: str) -> SupervisedProcess | None:
        """One of the supervised workers that live, of these stages or of all."""
        every = self.deployment.supervisor.workers
        found = [each for each in every if each.process.poll() is None and (not names or each.name in names)]
        return chance.choice(found) if found else None


Fault = Callable[[Scene, random.Random], str]


def kill(scene: Scene, chance: random.Random) -> str:
    """A process ends as when memory runs out."""
    worker = scene.living(chance)
    if worker is None:
        return "nobody is there to kill"
    scene.kill(worker)
    return _name(worker.name, worker.process)


def stop(scene: Scene, chance: random.Random) -> str:
    """A process stands still for longer than its group waits for it, and goes on as if nothing had been: a zombie."""
    worker = scene.living(chance)
    if worker is None:
        return "nobody is there to stop"
    process, seconds = worker.process, SESSION_SECONDS + chance.uniform(1, 4)
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)
    return f"{_name(worker.name, process)} for {seconds:.1f} s"


def kill_broker(scene: Scene, chance: random.Random) -> str:
    """The broker ends as by a power cut, and is back after a while."""
    seconds = chance.uniform(0, 3)
    with scene.deployment.broker_turn:
        scene.deployment.broker.kill()
        time.sleep(seconds)
        scene.deployment.broker.start()
    return f"for {seconds:.1f} s and a start"


def join(scene: Scene, chance: random.Random) -> str:
    """One more worker takes a share of the partitions, and leaves, in order or not."""
    guest = scene.deployment.invite(chance.choice(SCALED))
    with suppress(TimeoutError):
        _wait_for(lambda: bool(scene.lag.held_by(guest.name, guest.process.pid)), 30)
    time.sleep(chance.uniform(1, 10))
    way = chance.choice([signal.SIGTERM, signal.SIGKILL])
    fell = guest.process.poll()
    guest.process.send_signal(way)
    code = guest.process.wait(40)
    if fell is None and way is signal.SIGTERM and code:
        raise RuntimeError(f"a worker of {guest.name} that was asked to leave ended with code {code}: {guest.log}")
    return f"{_name(guest.name, guest.process)}, until {way.name}"


def replace_producer(scene: Scene, chance: random.Random) -> str:
    """Whoever sends the traffic ends at once, and another one, of other visitors, comes."""
    del chance
    with scene.deployment.broker_turn:
        scene.deployment.traffic.replace()
    return "other visitors"


def edit_others(scene: Scene, chance: random.Random) -> str:
    """Two edits of the catalog in a row that change neither a flag nor a metric."""
    ids = tuple(f"u{chance.randrange(1_000_000)}" for _ in range(100))
    cohorts = [Cohort(key=key, owner="tests", ids=ids) for key in ("regulars", "testers")]
    slots = tuple(GroupSlot(percentage=chance.randrange(1, 50)) for _ in range(2))
    groups = [Group(key=key, owner="tests", type="mutual-exclusion", slots=slots) for key in ("first", "second")]
    definitions = chance.choice([cohorts, groups, [cohorts[0], groups[1]]])

    async def edit(writer: CatalogWriter) -> None:
        await editing.edit(writer, definitions, SIGNATURE, accept_risks=True)

    with scene.deployment.broker_turn:
        scene.deployment.edit(edit)
    return " and ".join(each.key for each in definitions)


def reject(scene: Scene, chance: random.Random) -> str:
    """Records of the catalog in a row that its readers ignore: they edit what does not stand any more."""
    number = chance.randrange(1, 5)

    async def edit(writer: CatalogWriter) -> None:
        document = writer.next_version(Cohort(key="nobody", owner="tests"), SIGNATURE.author, SIGNATURE.reason)
        late = msgspec.structs.replace(document, base=document.base + 7, version=document.version + 7)
        topic = scene.deployment.settings.topic(CATALOG)
        for _ in range(number):
            await writer._producer.send_and_wait(topic, msgspec.json.encode(late), key_of(late))

    with scene.deployment.broker_turn:
        scene.deployment.edit(edit)
    return f"{number} records"


def edit_weights(scene: Scene, chance: random.Random) -> str:
    """An experiment's arms get other shares in mid-run, and visitors come to know."""
    key = chance.choice(["every-metric", "every-device"])
    weights = [chance.randrange(1, 6) for _ in range(2)]

    async def edit(writer: CatalogWriter) -> None:
        flag: Flag = writer.history.newest.flags[key].definition
        pairs = zip(flag.variants, weights, strict=True)
        variants = tuple(msgspec.structs.replace(variant, weight=weight) for variant, weight in pairs)
        changed = msgspec.structs.replace(flag, variants=variants)
        await editing.edit(writer, [changed], SIGNATURE, accept_risks=True)

    with scene.deployment.broker_turn:
        scene.deployment.edit(edit)
        scene.deployment.traffic.replace()
    return f"{key} {weights[0]}:{weights[1]}"


def edit_metric(scene: Scene, chance: random.Random) -> str:
    """A metric measures something else from now on."""
    key, cap = chance.choice([("pages", chance.randrange(2, 9)), ("spent", chance.randrange(20, 90))])

    async def edit(writer: CatalogWriter) -> None:
        metric: Metric = writer.history.newest.metrics[key].definition
        await editing.edit(writer, [msgspec.structs.replace(metric, cap=cap)], SIGNATURE, accept_risks=True)

    with scene.deployment.broker_turn:
        scene.deployment.edit(edit)
    return f"{key} up to {cap}"


def damage_checkpoint(scene: Scene, chance: random.Random) -> str:
    """A worker ends, and its newest checkpoint is not what it wrote."""
    worker = scene.living(chance, "aggregation")
    held = scene.lag.held_by("aggregation", worker.process.pid) if worker else []
    kept = Path(scene.deployment.settings.checkpoint_location)
    files = sorted((kept / str(chance.choice(held)[1])).glob("*.arrow")) if held else []
    if worker is None or not files:
        return "there is none"
    with scene.frozen(worker):
        told = _damage(files[-1], chance)
    return f"{files[-1].name} {told}, {_name(worker.name, worker.process)}"


def strangers(scene: Scene, chance: random.Random) -> str:
    """Somebody writes to a topic of ours what is no message of ours."""
    topic = chance.choice(INTERNAL)
    with scene.deployment.broker_turn:
        producer = KafkaProducer(**kafka_python_arguments(scene.deployment.settings))
        for value in chance.sample(STRANGERS, len(STRANGERS)):
            producer.send(scene.deployment.settings.topic(topic), value, key=b"stranger").get(30)
        producer.close()
    return topic


def damage_store(scene: Scene, chance: random.Random) -> str:
    """Storage ends, and a file of its own is damaged or gone."""
    worker = scene.living(chance, "storage")
    kept = scene.deployment.settings.data / "store"
    files = [each for each in kept.rglob("*") if each.suffix in (".duckdb", ".parquet")]
    if worker is None or not files:
        return "there is none"
    file = chance.choice(files)
    with scene.frozen(worker):
        if chance.random() < 0.5:
            file.unlink()
            told = "gone"
        else:
            told = _damage(file, chance)
    return f"{file.name} {told}"


def add_partitions(scene: Scene, chance: random.Random) -> str:
    """A source grows under load."""
    topic = chance.choice(SOURCES)
    settings = scene.deployment.settings
    with scene.deployment.broker_turn:
        admin = KafkaAdminClient(**kafka_python_arguments(settings))
        try:
            (described,) = admin.describe_topics([settings.topic(topic)])
            number = len(described["partitions"]) + 1
            if number > MOST_PARTITIONS:
                return f"{topic} has {number - 1} already"
            admin.create_partitions({settings.topic(topic): number})
        finally:
            admin.close()
        scene.deployment.traffic.replace()
    return f"{topic} has {number}"


def fill_disk(scene: Scene, chance: random.Random) -> str:
    """The disk of checkpoints, store and archive is full for some seconds."""
    if not scene.deployment.has_own_disk:
        return "skipped: no file system of its own can be mounted here"
    seconds, ballast = chance.uniform(1, 6), scene.deployment.settings.data / "ballast"
    until = time.monotonic() + seconds
    try:
        with ballast.open("ab", buffering=0) as file:
            while time.monotonic() < until:
                with suppress(OSError):
                    room = os.statvfs(ballast).f_bavail * os.statvfs(ballast).f_frsize
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(room, 1))
                time.sleep(0.02)
    finally:
        ballast.unlink()
    return f"for {seconds:.1f} s"


def rubbish_caller(scene: Scene, chance: random.Random) -> str:
    """Whoever has no key sends whatever it likes."""
    for _ in range(30):
        with suppress(OSError), _connection(scene) as connection:
            connection.sendall(chance.choice(KEYLESS))
            connection.recv(1_000)
    return "30 requests without a key"


def slow_callers(scene: Scene, chance: random.Random) -> str:
    """Connections that say a byte now and then."""
    open_ones = []
    with suppress(OSError):
        open_ones += [_connection(scene) for _ in range(50)]
    for byte in chance.choice(KEYLESS)[:12]:
        for connection in open_ones:
            with suppress(OSError):
                connection.sendall(bytes([byte]))
        time.sleep(0.5)
    for connection in open_ones:
        connection.close()
    return f"{len(open_ones)} connections"


KINDS: tuple[Fault, ...] = (
    kill,
    kill,
    stop,
    kill_broker,
    join,
    replace_producer,
    edit_others,
    reject,
    edit_weights,
    edit_metric,
    damage_checkpoint,
    strangers,
    damage_store,
    add_partitions,
    fill_disk,
    rubbish_caller,
    slow_callers,
)
SWITCHED_OFF: dict[Fault, str] = {}  # kinds that no deployment survives yet, and why


def _name(stage: str, process: "Popen[bytes]") -> str:
    return f"{stage}/{process.pid}"


def _damage(file: Path, chance: random.Random) -> str:
    content = bytearray(file.read_bytes())
    if chance.random() < 0.5 or not content:
        file.write_bytes(content[: chance.randrange(len(content) + 1)])
        return "cut"
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return "with a flipped bit"


def _connection(scene: Scene) -> socket.socket:
    return socket.create_connection(("127.0.0.1", scene.deployment.settings.http_port), timeout=1)


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
