"""Restoring: a store that is damaged, or lacks a part, is set aside and made anew.

Everything in it stands on the topics, for as long as they keep it, and the looks in the archive, which mostly keeps
them longer. So looks are taken from the archive here; the topics are read as ever.
"""

import logging
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pipeline.errors import PeekproofError
from pipeline.kafka.set_aside import SetAside
from pipeline.owner import own
from pipeline.storage.archived import ArchivedRecord, partitions, read
from pipeline.storage.soundness import DamageError, UnfinishedStoreError, parts
from pipeline.storage.store import Store
from schemas.topics import RESULTS

BATCH = 1_000  # looks of a transaction

_log = logging.getLogger(__name__)


def whole_store(directory: Path, archive: Path, aside: SetAside | None = None) -> Store | None:
    """The store; None where `restored_store` must mend it, which needs an archive that is of this deployment."""
    if _is_gone(directory, archive):
        return None
    try:
        return Store(directory, aside)
    except DamageError:
        return None


def restored_store(directory: Path, archive: Path, aside: SetAside | None = None) -> Store:
    """A new store in the place of one that is damaged or gone, with the archived looks in it."""
    happened = f"there is no store in {directory}, but an archive in {archive}"
    try:
        if not _is_gone(directory, archive):
            return Store(directory, aside)
    except UnfinishedStoreError as error:
        happened = str(error)
        with own(directory):
            for path in parts(directory):
                path.unlink(missing_ok=True)
    except DamageError as error:
        with own(directory):
            happened = f"{error}; what there was is set aside in {_set_aside(directory)}"
    store = Store(directory, aside)
    try:
        with store.told():
            _restore(store, happened, archive)
    except BaseException:
        store.close()
        raise
    return store


def _is_gone(directory: Path, archive: Path) -> bool:
    return not any(path.exists() for path in parts(directory)) and bool(partitions(archive, RESULTS))


def _set_aside(directory: Path) -> Path:
    aside = directory / time.strftime("damaged-%Y%m%dT%H%M%SZ", time.gmtime())
    (aside / "history").mkdir(parents=True)
    for path in parts(directory):
        if path.exists():
            path.rename(aside / path.relative_to(directory))
    return aside


def _restore(store: Store, happened: str, archive: Path) -> None:
    run = store.connection.execute
    run("INSERT INTO restored VALUES (?, false)", [happened])
    _log.warning("%s; it is made anew from the archive and the topics", happened)
    losses = [_take(store, archive, partition) for partition in partitions(archive, RESULTS)] or [
        "there is no archive, so of looks results_history has what their topic keeps, a week and the newest of each run"
    ]
    lost = "; ".join(dict.fromkeys(loss for loss in losses if loss)) or "no look is lost"
    told = (
        f"{_moment(time.time())}: {happened}; it was made anew from the archive and the topics: {lost}. Dead letters "
        "that their topic no longer keeps are gone, and dead letters and ignored looks were counted anew"
    )
    run("UPDATE restored SET told = ?, is_done = true", [told])
    store.restored = told
    _log.warning("%s", told)


def _take(store: Store, archive: Path, partition: int) -> str | None:
    """Take the archived looks of one partition; what is lost, or None.

    Where the archive does not begin with the log, the topic is read from its start: what was before is there as far as
    compaction left it.
    """
    records = read(archive, RESULTS, partition)
    first: ArchivedRecord | None = None
    loss, end = None, 0
    try:
        for some in _batches(records):
            first, end = first or some[0], some[-1].offset + 1
            store.add_looks((partition, each.offset, each.append_time, each.value) for each in some)
            store.flush()
    except PeekproofError as error:
        loss = f"{error}, so of the looks that follow results_history has what their topic keeps"
    if first is not None and first.offset > 0:
        store.read_again(RESULTS, partition, range(first.offset, end))
        since = _moment(first.append_time / 1_000)
        loss = loss or f"the archive begins at {since}, and of looks before that is only the newest of each run left"
    return loss


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _batches(records: Iterator[ArchivedRecord]) -> Iterator[list[ArchivedRecord]]:
    while some := list(islice(records, BATCH)):
        yield some
