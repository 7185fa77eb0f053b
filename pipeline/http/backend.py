"""Backend: what answers come from, and where what is said goes. Made once, and handed to every route."""

import asyncio
from typing import Self

from aiokafka import AIOKafkaProducer

from pipeline import topics
from pipeline.catalog import CatalogReader
from pipeline.connection import answering
from pipeline.follower import Follower
from pipeline.http.access import Access
from pipeline.http.delivery import Delivery
from pipeline.http.looks import Looks, pulse
from pipeline.http.past import Past
from pipeline.producer import create_producer
from pipeline.settings import Settings
from schemas.topics import RESULTS


class Backend:
    """Follows catalog and results without a group: `async with Backend(settings, access) as backend: …`.

    Entered, it has read everything that the topics held. Raises PeekproofError for a cluster that does not answer, and
    for topics that are not as they must be.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self.settings = settings
        self.access = access
        self.catalog = CatalogReader(settings, self._catalog_changed)
        self.catalog_changed = asyncio.Event()  # set for a moment with every record, and at the end
        self.looks = Looks()
        self.past = Past(settings)
        self.producer: AIOKafkaProducer
        self.delivery: Delivery
        self.is_stopping = False
        self._results = Follower(settings, RESULTS, self.looks.read)

    @property
    def fault(self) -> str | None:
        """Why it should be asked no more; None: it may."""
        if self.is_stopping:
            return "it is being stopped"
        failed = self.catalog.failure or self._results.failure
        return f"it no longer reads what is new: {failed}" if failed else None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(topics.require, self.settings)
        self.producer = create_producer(self.settings)
        self.delivery = Delivery(self.settings, self.producer)
        with answering(self.settings):
            try:
                await asyncio.gather(
                    self.catalog.start(), self._results.start(), self.past.start(), self.producer.start()
                )
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self.catalog.stop(), self._results.stop(), self.past.stop(), self.producer.stop())

    def stop(self) -> None:
        """Tell every stream to end."""
        self.is_stopping = True
        pulse(self.catalog_changed)
        pulse(self.looks.arrived)

    def _catalog_changed(self) -> None:
        pulse(self.catalog_changed)
