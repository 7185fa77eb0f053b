"""Live: waiting for what a deployment at work comes to show."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from evaluation.catalog.in_force import SETTLING
from pipeline.catalog.topic import read_catalog
from pipeline.settings import Settings


def ask(snapshot: Path, query: str) -> Any:
    """The first value of the answer; None where there is none, or no such snapshot or table yet."""
    try:
        with duckdb.connect(str(snapshot), read_only=True) as published:
            row = published.execute(query).fetchone()
    except duckdb.Error:
        return None
    return row[0] if row else None


def wait_for(condition: Callable[[], object], seconds: float = 90, what: str = "it", often: float = 0.4) -> None:
    """Return when the condition holds, asked so often; fail after so long.

    To ask takes CPU that what is waited for needs: it is done for half of the time at most.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not condition():
        asked = time.monotonic()
        assert asked < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(min(max(often, asked - began), 2.0))
        began = time.monotonic()


def wait_for_catalog(settings: Settings) -> None:
    """Return when every version that the catalog holds applies to what is appended from now on."""
    applies_from = read_catalog(settings).newest.append_time + SETTLING
    wait_for(lambda: time.time() * 1_000 > applies_from, what="the catalog", often=0.05)
