"""Census: counts that are never behind what there was at the time that they name."""

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaConnectionError

from pipeline.kafka.census import Census
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.producer import create_producer
from pipeline.settings import Settings
from schemas.topics import EVENTS, EXPOSURES


def test_partitions_are_counted_up_to_a_moment_before_the_last_count(deployment: Settings) -> None:
    topics = [deployment.topic(topic) for topic in (EXPOSURES, EVENTS)]

    async def work() -> None:
        async with create_producer(deployment) as producer:
            census = Census(producer.client, topics, 16)
            await census.count()
            assert census.counted() == (16, 0), "nobody has told the time"
            census.tell(1_000_000)
            await census.count()
            assert census.counted() == (16, 0), "the broker may not have heard of all that there was then"
            await census.count()
            partitions, until = census.counted()
            assert (partitions, 1_000_000 <= until < 1_060_000) == (16, True)

            admin = AIOKafkaAdminClient(**aiokafka_arguments(deployment))
            await admin.start()
            await admin.create_partitions({topics[0]: NewPartitions(10)})
            await admin.close()
            census.start()
            async with asyncio.timeout(30):
                while census.counted()[0] < 18:
                    await asyncio.sleep(0.01)
                before = census.counted()[1]
                while census.counted()[1] <= before:
                    await asyncio.sleep(0.01)
            await census.stop()

    asyncio.run(work())


def test_while_no_broker_answers_what_was_counted_stands() -> None:
    class Away:
        def get_random_node(self) -> int:
            return 1

        async def send(self, *_: Any, **__: Any) -> None:
            raise KafkaConnectionError("away")

    async def work() -> None:
        client: Any = Away()
        census = Census(client, ["a"], 8)
        census.tell(1_000_000)
        for _ in range(3):
            await census.count()
        assert census.counted() == (8, 0)

    asyncio.run(work())
