"""What tests share: one real broker per run, a deployment of its own for each test that wants one, and no deadlines."""

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings as hypothesis_settings

from pipeline.kafka import topics
from pipeline.kafka.connection import UnreachableError
from pipeline.local_kafka.broker import Broker
from pipeline.settings import Settings

# An example may have to compile or import something, on a machine that has other work.
hypothesis_settings.register_profile("no deadline", deadline=None)
hypothesis_settings.load_profile("no deadline")

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PEEKPROOF = Path(sys.executable).with_name("peekproof")
OWN = pytest.StashKey[Broker]()
LONGEST = (
    "end_to_end",
    "test_examples",
    "pipeline/demo/test_demo",
    "pipeline/kafka/columnar/test_transport",
    "pipeline/kafka/test_advertised",
    "pipeline/kafka/test_tokens",
    "pipeline/stages/test_storage",
    "pipeline/http/console",
    "pipeline/recovery/test_backup",
    "pipeline/kafka/test_connection",
    "pipeline/storage/test_snapshot",
    "pipeline/storage/test_restoring",
    "pipeline",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run may want longer than the suite has time for."""
    parser.addoption("--outage", type=float, default=6.0, help="Seconds for which the broker is away.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process is left alone with it at the end."""

    def turn(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((turn for turn, begin in enumerate(LONGEST) if path.startswith(begin)), len(LONGEST))

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One broker for all processes of a run: an idle one more costs as much as some tests."""
    config: pytest.Config = node.config
    if not os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS"):
        if OWN not in config.stash:
            directory = tempfile.TemporaryDirectory()
            config.add_cleanup(directory.cleanup)
            config.stash[OWN] = Broker(Path(directory.name))
            config.stash[OWN].start()
            config.add_cleanup(config.stash[OWN].stop)
        node.workerinput["bootstrap_servers"] = config.stash[OWN].bootstrap_servers


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: PEEKPROOF_BOOTSTRAP_SERVERS where set, else a broker for the run."""
    given = os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS") or getattr(request.config, "workerinput", {}).get(
        "bootstrap_servers"
    )
    if given:
        yield given
        return
    with Broker(Path(tmp_path_factory.mktemp("broker"))) as own:
        yield own.bootstrap_servers


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where there is one."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip("there is no Chromium to show the console in; `apt-get install chromium` brings one")
    return found


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A command that a test calls in its own process leaves no umask to the others."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A working directory that has modules named as ours, as one that we use, and as two of Python's own."""
    directory = tmp_path / "strangers"
    directory.mkdir()
    for name in ("pipeline", "evaluation", "faust", "logging", "socket"):
        (directory / f"{name}.py").write_text(f"raise ImportError('not our {name}')")
    (directory / "schemas").mkdir()
    (directory / "schemas" / "__init__.py").touch()
    return directory


@pytest.fixture
def deployment(broker: str, tmp_path: Path) -> Iterator[Settings]:
    """A deployment of the test's own on the shared broker: its topics, four partitions of units, an empty directory."""
    with deployed(broker, tmp_path / "data") as settings:
        yield settings


@contextmanager
def deployed(broker: str, data: Path, **settings: Any) -> Iterator[Settings]:
    """A deployment beside others, for those who share one among several tests, or want other settings.

    The cluster loses its topics at the end: every client that connects is told of all that there are.
    """
    base = Settings.read()
    prefix = base.topic(f"test-{uuid.uuid4().hex[:12]}")
    own = {"data": data, "checkpoints": None, "units_partitions": 4, "http_port": 0}
    made = msgspec.structs.replace(base, bootstrap_servers=broker, prefix=prefix, **own | settings)
    topics.create(made)
    try:
        yield made
    finally:
        with suppress(UnreachableError):  # a broker of the test's own may be gone
            topics.delete(made)
