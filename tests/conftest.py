"""What tests share: one real broker per run, and a deployment of its own for each test that wants one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.broker import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: PEEKPROOF_BOOTSTRAP_SERVERS where set, else a broker that lives for the run."""
    if given := os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS"):
        yield given
        return
    with Broker(Path(tmp_path_factory.mktemp("broker"))) as own:
        yield own.bootstrap_servers
