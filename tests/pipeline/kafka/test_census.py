"""Census: counts that are never behind what there was at the time that they name."""

import asyncio
import uuid
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaConnectionError

from pipeline.kafka.census import Census
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.producer import create_producer
from pipeline.settings import Settings
from schemas.topics import EVENTS, EXPOSURES, MARK


def test_partitions_are_counted_up_to_a_moment_before_the_last_count(deployment: Settings) -> None:
    ours = {EXPOSURES: 8, EVENTS: 8}
    theirs = f"{MARK}orders-{uuid.uuid4().hex[:8]}"
    topics = [*ours]

    async def read() -> list[str]:
        return topics

    async def work() -> None:
        async with create_producer(deployment) as producer:
            census = Census(deployment, producer.client, read, ours)
            await census.count()
            assert census.counted() == (ours, 0), "nobody has told the time"
            census.tell(1_000_000)
            await census.count()
            assert census.counted() == (ours, 0), "the broker may not have heard of all that there was then"
            await census.count()
            partitions, until = census.counted()
            assert (partitions, 1_000_000 <= until < 1_060_000) == (ours, True)

            admin = AIOKafkaAdminClient(**aiokafka_arguments(deployment))
            await admin.start()
            topics.append(theirs)
            await census.count()
            assert census.counted()[0] == ours | {theirs: 0}, "it is not there, and not made by asking"
            assert deployment.topic(theirs) not in await admin.list_topics()
            await admin.create_partitions({deployment.topic(EXPOSURES): NewPartitions(10)})
            await admin.create_topics([NewTopic(deployment.topic(theirs), 3, 1)])
            census.start()
            async with asyncio.timeout(30):
                while census.counted()[0] != {EXPOSURES: 10, EVENTS: 8, theirs: 3}:
                    await asyncio.sleep(0.01)
                before = census.counted()[1]
                while census.counted()[1] <= before:
                    await asyncio.sleep(0.01)
            await admin.delete_topics([deployment.topic(theirs)])
            async with asyncio.timeout(30):
                while census.counted()[0] != {EXPOSURES: 10, EVENTS: 8, theirs: 0}:
                    await asyncio.sleep(0.01)
            await admin.close()
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

        async def read() -> list[str]:
            return ["a"]

        census = Census(Settings(), client, read, {"a": 8})
        census.tell(1_000_000)
        for _ in range(3):
            await census.count()
        assert census.counted() == ({"a": 8}, 0)

    asyncio.run(work())
