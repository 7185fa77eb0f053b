"""Snapshot: whether analysts can open it, how old it is, and whether the store behind it is whole."""

import time
from collections.abc import Iterator

import duckdb

from pipeline.doctor.finding import Finding, ago, several
from pipeline.doctor.sight import Sight
from pipeline.errors import PeekproofError
from pipeline.owner import OwnerError
from pipeline.storage.tables import SCHEMA_VERSION

AREA = "snapshot"
LATE_SECONDS = 30.0


def check(sight: Sight) -> Iterator[Finding]:
    """The file, then the store."""
    path = sight.settings.snapshot
    if path.exists():
        try:
            with duckdb.connect(str(path), read_only=True) as snapshot:
                row = snapshot.execute("SELECT schema_version, epoch_ms(published) FROM about").fetchone()
        except duckdb.Error as error:
            yield Finding(AREA, "wrong", f"{path} cannot be read: {error}", sight.starts("storage"))
        else:
            schema, published = row or (0, 0)
            age = time.time() - published / 1_000
            is_late = age > LATE_SECONDS and _is_at_work(sight)
            told = f"{path} was published {ago(age)} ago, schema {schema}"
            if schema != SCHEMA_VERSION:
                told += f"; this version writes schema {SCHEMA_VERSION}"
            is_well = not is_late and schema == SCHEMA_VERSION
            yield Finding(AREA, "ok" if is_well else "warning", told, None if is_well else sight.starts("storage"))
    else:
        yield Finding(AREA, "ok", f"there is none at {path}; the stage `storage` makes it where it runs")
    aside = sorted((sight.settings.data / "store").glob("damaged-*"))
    if aside:
        told = f"a store that was damaged is set aside: {several([str(place) for place in aside], 'of them')}; "
        yield Finding(AREA, "warning", f"{told}delete what nobody looks into")
    try:
        sight.stored()
    except OwnerError:
        return  # it is in use
    except duckdb.Error as error:
        store = sight.settings.data / "store"
        told = f"the store in {store} cannot be read: {error}; the topics rebuild it"
        yield Finding(AREA, "wrong", told, sight.starts("storage"))


def _is_at_work(sight: Sight) -> bool:
    try:
        return bool(sight.heard().living("storage"))
    except PeekproofError:
        return False
