"""Versions: of the product, and of what it stands on."""

import platform
from collections.abc import Iterator
from importlib import metadata

import duckdb

from evaluation.metrics.checkpoint import FORMAT
from pipeline.doctor.finding import Finding
from pipeline.doctor.sight import Sight
from pipeline.kafka.connection import answering
from pipeline.storage.tables import SCHEMA_VERSION

AREA = "versions"
OLDEST_KAFKA = (4, 0)


def check(sight: Sight) -> Iterator[Finding]:
    """Ours, then the brokers'."""
    yield Finding(
        AREA,
        "ok",
        f"Peekproof {metadata.version('peekproof')}, Python {platform.python_version()}, DuckDB {duckdb.__version__}, "
        f"schema {SCHEMA_VERSION} of the snapshot, format {FORMAT} of checkpoints",
    )
    admin = sight.admin()
    with answering(sight.settings):
        numbers = [each["broker_id"] for each in admin.describe_cluster()["brokers"]]
        versions = {admin.get_broker_version_data(number).broker_version for number in numbers}
    for version in sorted(versions):
        told = f"Kafka speaks the protocol of {'.'.join(map(str, version))}"
        is_old = version < OLDEST_KAFKA
        yield Finding(
            AREA, "warning" if is_old else "ok", f"{told}; Peekproof was tried with 4.0 and later" if is_old else told
        )
