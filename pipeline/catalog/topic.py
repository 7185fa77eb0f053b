"""Catalog: the topic's reader, which every stage has, and its writer, which commands use."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Self, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord

from evaluation.catalog.history import History, Rejected, after
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.overview import told_problem
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.connection import UnreachableError, answering, attended
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.catalog import Document, Spec
from schemas.decoding import NoMessageError
from schemas.topics import CATALOG, MAX_MESSAGE_BYTES

LARGEST_DOCUMENT = MAX_MESSAGE_BYTES - 100_000  # of a document; the rest is for what surrounds it in a batch of records
PARTITION = 0  # one, so that versions have an order
END_SECONDS = 5.0  # to disconnect
MOST_CONFLICTS = 20  # with others who say something of the same document at the same moment

Made = TypeVar("Made", bound=Document | None)

_log = logging.getLogger(__name__)


class EditConflictError(PeekproofError):
    """Another edit of the same version was published first; this one changed nothing."""


class CatalogReader:
    """Reads the topic from its start, without a group, and keeps its history for as long as it runs.

    An error of reading ends it, and `caught_up` raises that error. A flag in force that no engine can evaluate is told.
    """

    def __init__(
        self, settings: Settings, aside: SetAside | None = None, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.history = History()
        self._aside = aside or SetAside()
        self._changed = changed  # is called after each record
        self._follower = Follower(settings, CATALOG, self._read, self._aside)
        self._tells = False  # once it has read what the topic held: what was mended since is not told

    @property
    def failure(self) -> BaseException | None:
        """What ended the reading, if something did."""
        return self._follower.failure

    async def start(self) -> None:
        """Begin to read, and return once everything that the topic held has been read."""
        await self._follower.start()
        self._tells = True
        for key in self.history.newest.flags:
            self._tell(key)

    async def caught_up(self, since: float = inf) -> None:
        """Return when everything appended before this call has been read, or before `since` (`monotonic`, seconds)."""
        await self._follower.caught_up(since)

    async def stop(self) -> None:
        """Stop reading."""
        await self._follower.stop()

    def _read(self, record: ConsumerRecord) -> None:
        if record.partition != PARTITION:
            raise NoMessageError(f"the catalog is partition {PARTITION} of its topic")
        history = self.history
        is_first = len(history.states) == 1
        if record.offset < history.newest.offset or (is_first and record.offset > 0):
            raise PeekproofError(
                f"topic '{record.topic}' gives offset {record.offset} where {history.newest.offset} is due: it was cut "
                "or made anew, but it is kept for ever; delete the topic, and `peekproof restore` brings it back, "
                "from a backup or an archive"
            )
        ignored = len(history.rejected)
        history.append(record.offset, record.timestamp, record.value)
        for rejected in history.rejected[ignored:]:
            self._aside.add(CATALOG, record.partition, rejected.offset, rejected.reason)
        if self._tells and len(history.rejected) == ignored and history.versions[-1].document.kind == "flag":
            self._tell(history.versions[-1].document.key)
        self._changed()

    def _tell(self, key: str) -> None:
        if problem := told_problem(self.history.newest.flags[key]):
            _log.warning("%s", problem)


class CatalogWriter:
    """Publishes new versions of documents: `async with CatalogWriter(settings) as writer: …`.

    Raises PeekproofError for a cluster that does not answer, and for topics that are not as they must be.
    """

    def __init__(
        self, settings: Settings, aside: SetAside | None = None, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.settings = settings
        self.reader = CatalogReader(settings, aside, changed)
        self.publishing: str | None = None  # what was sent, and has not been read back yet
        self._producer: AIOKafkaProducer

    @property
    def history(self) -> History:
        """What the topic held when the writer was opened, and since."""
        return self.reader.history

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(topics.require, self.settings)
        with answering(self.settings):
            await self.reader.start()
            self._producer = create_producer(self.settings)
            try:
                await self._producer.start()
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # While brokers are away, the producer would wait for them.
        ended = asyncio.gather(self._producer.stop(), self.reader.stop(), return_exceptions=True)
        await asyncio.wait([ended], timeout=END_SECONDS)

    def next_version(self, spec: Spec, author: str, reason: str) -> Document:
        """The document that puts `spec` in the place of the version that stands now, or begins with it."""
        return next_version(self.history, spec, author, reason)

    async def publish(self, document: Document) -> None:
        """Publish one version, and return when it has been read back as the one that stands.

        Raises EditConflictError when another edit won. A document that readers would ignore is not published:
        PeekproofError.
        """
        name = f"version {document.version} of {document.kind} '{document.key}'"
        value = msgspec.json.encode(document)
        if fault := size_fault(value):
            raise PeekproofError(f"{name} is not published: {fault}")
        newest = self.history.newest
        _, found = after(newest, newest.offset, newest.append_time, value)
        if isinstance(found, Rejected):
            raise PeekproofError(f"{name} is not published: {found.reason}")
        with answering(self.settings):
            self.publishing = name
            sent = await self._producer.send_and_wait(self.settings.topic(CATALOG), value, key_of(document), PARTITION)
            await self.reader.caught_up()
            self.publishing = None
        for rejected in self.history.rejected:
            if rejected.offset == sent.offset:
                raise EditConflictError(f"{name} came too late and changes nothing: {rejected.reason}")

    async def publish_after_others(self, make: Callable[[], Made]) -> Made:
        """Publish what is made of the catalog as it stands, anew as often as another edit wins; None: nothing is left.

        For what rests on no version before it. Raises as `publish`; EditConflictError where others always win.
        """
        conflicts = 0
        while (document := make()) is not None:
            try:
                await self.publish(document)
            except EditConflictError:
                conflicts += 1
                if conflicts == MOST_CONFLICTS:
                    raise
            else:
                break
        return document


def size_fault(value: bytes) -> str | None:
    """Why no record holds a document, as it is sent; None: one does."""
    if len(value) <= LARGEST_DOCUMENT:
        return None
    return (
        f"it is {len(value):,} bytes long, and a record holds {LARGEST_DOCUMENT:,}; split a cohort's ids among "
        "several, or shorten a payload"
    )


def next_version(history: History, spec: Spec, author: str, reason: str) -> Document:
    """The document that puts `spec` in the place of the version that stands now, or begins with it."""
    return history.next_version(spec, author, reason, time.time_ns() // 1_000_000)


def key_of(document: Document) -> bytes:
    """The record's key: every version of one document has the same."""
    return f"{document.kind}/{document.key}".encode()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[CatalogWriter]:
    """A writer for somebody who waits: what is done with it ends by an UnreachableError when the cluster goes away."""
    writer = CatalogWriter(settings)
    try:
        async with attended(settings), writer:
            yield writer
    except UnreachableError as error:
        if writer.publishing is None:
            raise
        raise UnreachableError(
            f"{error}. {writer.publishing} may stand all the same: look before you repeat it"
        ) from None


async def catalog_now(settings: Settings) -> History:
    """Everything that the topic, which is there, holds now. Raises PeekproofError as `opened` does."""
    reader = CatalogReader(settings)
    try:
        async with attended(settings):
            await reader.start()
    finally:
        await reader.stop()
    return reader.history


def known_catalog(settings: Settings) -> Catalog | None:
    """The documents that stand now; None where the topic is not made yet. Raises PeekproofError as `opened` does."""
    if any(each.found == topics.MISSING and each.topic == settings.topic(CATALOG) for each in topics.check(settings)):
        return None
    return asyncio.run(catalog_now(settings)).newest


def read_catalog(settings: Settings) -> History:
    """Everything that the topic holds now. Raises PeekproofError as `opened` does."""
    topics.require(settings)
    return asyncio.run(catalog_now(settings))
