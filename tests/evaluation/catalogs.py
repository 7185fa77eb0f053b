"""Catalogs: documents that are long in force, for tests of what is done with them."""

from collections.abc import Iterable

import msgspec

from evaluation.catalog.history import History
from schemas.catalog import Document, Spec


def in_force(specs: Iterable[tuple[str, str, int, Spec]]) -> History:
    """The catalog of these: kind, key, version and what it says."""
    history = History()
    for offset, (kind, key, version, spec) in enumerate(specs):
        raw = msgspec.Raw(msgspec.json.encode(spec))
        said = {"kind": kind, "key": key, "version": version, "base": version - 1, "author": "a", "reason": "r"}
        history.append(offset, 1, msgspec.json.encode(Document(**said, time=0, spec=raw)))
    assert not history.rejected
    return history
