"""Backend: what answers come from, and where what is said goes. Made once, and handed to every route."""

import asyncio
from time import monotonic
from typing import Self

from aiokafka import AIOKafkaProducer

from evaluation.catalog.overview import TO_A_LOOK, TO_ONE_OF_PEOPLE
from pipeline.catalog.topic import CatalogWriter
from pipeline.http.arriving.heard import ArrivalsHeard
from pipeline.http.arriving.tail import Tail
from pipeline.http.callers.access import Access
from pipeline.http.callers.tickets import Tickets
from pipeline.http.evaluate.flags import FlagMemory
from pipeline.http.evaluate.sticky import Sticky, compile_kernels
from pipeline.http.evaluate.tracking import Tracker
from pipeline.http.ingest.delivery import Delivery
from pipeline.http.ingest.outbox import Outbox
from pipeline.http.oncall.examination import Examination
from pipeline.http.questions.readers import Readers
from pipeline.http.results.bell import Bell
from pipeline.http.results.decisions import DecisionsTold
from pipeline.http.results.following import ResultsFollower
from pipeline.http.results.looks import Looks, pulse
from pipeline.http.results.past_looks import PastLooks
from pipeline.http.sockets.connections import Connections
from pipeline.http.sockets.protocol import most_connections
from pipeline.http.sockets.room import Room
from pipeline.http.sockets.streams import Streams
from pipeline.http.workers import Workers
from pipeline.kafka.connection import attended
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import ARRIVALS, ASSIGNMENTS, DELIVERIES, HEALTH, NOTIFICATIONS

MOST_UPLOADED = 200_000_000  # bytes of all uploads that are read or wait for brokers, as they come and unpacked
END_SECONDS = 5.0  # for the clients to disconnect
APART_SECONDS = 0.05  # from one change that is told to the next: `apply` publishes one document after another


class Backend:
    """Follows catalog and results without a group: `async with Backend(settings, access) as backend: …`.

    Entered, it has read everything that the topics held. Raises PeekproofError for a cluster that does not answer, and
    for topics that are not as they must be.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self.settings = settings
        self.access = access
        self.aside = SetAside()
        self.writer = CatalogWriter(settings, self.aside, self._catalog_changed)
        self.catalog = self.writer.reader
        self.flags = FlagMemory()
        self.sticky = Sticky(aside=self.aside)
        self.looks = Looks()
        self.readers = Readers()
        self.past = PastLooks(settings, self.readers)
        results = ResultsFollower(settings, self.looks, self.aside)
        self.decisions = DecisionsTold(self.catalog.history, self.looks, self.past, results)
        self.bell = Bell()
        self.producer: AIOKafkaProducer
        self.delivery: Delivery
        self.outbox = Outbox(settings)
        self.tracker = Tracker(self.outbox, self.flags, self.sticky)
        self.examination = Examination(settings)
        self.tickets = Tickets()
        self.connections = Connections(most_connections())
        self.streams = Streams(most_connections() * 3 // 4)
        self.uploads = Room(MOST_UPLOADED)  # bytes of those that are not answered yet
        self.is_stopping = False
        self._news = asyncio.Event()  # set for a moment with every record of the catalog that is served, and at the end
        self._told = 0.0  # when (`monotonic`) the newest of them is, or was, told
        self.workers = Workers()
        self.arrivals = ArrivalsHeard(lambda: self.catalog.history.newest, self.behind)
        self.tail = Tail(settings, self.catalog.history, self.aside)
        self._followers = (
            Follower(settings, ARRIVALS, self.arrivals.read, self.aside, since=self.arrivals.since()),
            Follower(settings, HEALTH, self.workers.read, self.aside, from_end=True),
            results,
            Follower(settings, NOTIFICATIONS, self.bell.read, self.aside),
            Follower(settings, DELIVERIES, self.bell.learn, self.aside),
            Follower(settings, ASSIGNMENTS, self.sticky.read, self.aside, columnar=True),
        )

    @property
    def fault(self) -> str | None:
        """Why it should be asked no more; None: it may."""
        if self.is_stopping:
            return "it is being stopped"
        failures = [
            self.catalog.failure,
            *(follower.failure for follower in self._followers),
            self.outbox.failure,
            self.delivery.failure,
        ]
        return next((f"{type(failure).__name__}: {failure}" for failure in failures if failure), None)

    async def __aenter__(self) -> Self:
        async with attended(self.settings):  # afterwards it goes on while brokers are away
            await asyncio.gather(asyncio.to_thread(compile_kernels), self.writer.__aenter__())
            self.producer = create_producer(self.settings)
            self.delivery = Delivery(self.settings, self.producer)
            try:
                await asyncio.gather(*(part.start() for part in self._connected()))
                self.outbox.start(self.producer)
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.readers.stop()
        self.examination.stop()
        await self.outbox.stop()
        parts = (self.writer.__aexit__(), self.tail.stop(), *(part.stop() for part in self._connected()))
        # While brokers are away some clients complain, and a producer would wait for them; neither matters now.
        await asyncio.wait([asyncio.gather(*parts, return_exceptions=True)], timeout=END_SECONDS)

    async def catalog_changes(self, seconds: float) -> bool:
        """Return when a change of the catalog is to be told, or it is all over: True; False after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        if not self.is_stopping:
            await asyncio.sleep(self._told - monotonic())
        return True

    def behind(self) -> str | None:
        """Why looks, of runs with an identity if there are any, may not tell everything that has come, if so."""
        asks = self.catalog.history.newest.pairs
        return self.workers.behind(TO_ONE_OF_PEOPLE if asks else TO_A_LOOK)

    def stop(self) -> None:
        """Tell every stream to end."""
        self.is_stopping = True
        pulse(self._news)
        pulse(self.looks.arrived)
        pulse(self.bell.arrived)
        pulse(self.arrivals.arrived)
        self.tail.end()

    def _catalog_changed(self) -> None:
        if not self.flags.take(self.catalog.history.newest):
            return
        if self._told <= (now := monotonic()):  # else it is told along with the one before
            self._told = max(now, self._told + APART_SECONDS)
        pulse(self._news)

    def _connected(self) -> tuple[Follower | PastLooks | AIOKafkaProducer, ...]:
        return *self._followers, self.past, self.producer
