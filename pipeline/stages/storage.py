"""Storage: what can analysts query? Rows and their Kafka offsets are one transaction of one private DuckDB file, of
which a read-only snapshot is published about once a second."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from pipeline.settings import Settings
from pipeline.snapshot import publish
from pipeline.stages.stage import Source, Stage
from pipeline.store import Store
from schemas.records import Records
from schemas.topics import CATALOG, DEAD_LETTERS, HEALTH, RESULTS


class Storage(Stage):
    """Results, catalog, dead letters and health in; the snapshot out."""

    name: ClassVar[str] = "storage"
    topics: ClassVar[tuple[str, ...]] = (RESULTS, CATALOG, DEAD_LETTERS, HEALTH)
    tick_seconds: ClassVar[float] = 1.0
