"""Follower: every record of a topic, of partitions that are added meanwhile too, each once and in order."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import DEAD_LETTERS, NOTIFICATIONS


@pytest.mark.parametrize("how", ["from the start", "from the end", "as columns"])
def test_partitions_that_are_added_are_read_and_the_others_go_on(deployment: Settings, how: str) -> None:
    found: dict[int, list[int]] = defaultdict(list)

    def read(record: Any) -> None:
        offsets = record.offset.tolist() if how == "as columns" else [record.offset]
        found[record.partition] += offsets

    async def work() -> None:
        topic = deployment.topic(DEAD_LETTERS)
        arguments = {"from_end": how == "from the end", "columnar": how == "as columns"}
        follower = Follower(deployment, DEAD_LETTERS, read, SetAside(), **arguments)
        async with create_producer(deployment) as producer:
            for _ in range(3):
                await producer.send_and_wait(topic, b"-", partition=0)
            await follower.start()
            admin = AIOKafkaAdminClient(**aiokafka_arguments(deployment))
            await admin.start()
            await admin.create_partitions({topic: NewPartitions(6)})
            await admin.close()
            async with asyncio.timeout(30):
                while len(await producer.partitions_for(topic)) < 6:
                    await producer.client.force_metadata_update()
                for _ in range(3):
                    await producer.send_and_wait(topic, b"-", partition=5)
                    await producer.send_and_wait(topic, b"-", partition=0)
                while len(found[5]) < 3 or found[0][-1:] != [5]:
                    await asyncio.sleep(0.05)
                await producer.send_and_wait(topic, b"-", partition=5)
                await follower.caught_up()
        await follower.stop()

    asyncio.run(work())

    assert found[0] == ([3, 4, 5] if how == "from the end" else [*range(6)])
    assert found[5] == [*range(4)]


def test_a_topic_is_followed_from_a_moment_on(deployment: Settings) -> None:
    found: list[tuple[int, bytes]] = []

    async def work() -> None:
        topic = deployment.topic(NOTIFICATIONS)
        async with create_producer(deployment) as producer:
            await producer.send_and_wait(topic, b"before, and quiet since", key=b"a", partition=1)
            before = await producer.send_and_wait(topic, b"before", key=b"a", partition=0)
            await asyncio.sleep(0.002)
            await producer.send_and_wait(topic, b"after", key=b"a", partition=0)
            follower = Follower(deployment, NOTIFICATIONS, read, SetAside(), since=before.timestamp + 1)
            await follower.start()
            assert found == [(0, b"after")]
            await producer.send_and_wait(topic, b"new", key=b"a", partition=1)
            await follower.caught_up()
            await follower.stop()

    def read(record: Any) -> None:
        found.append((record.partition, record.value))

    asyncio.run(work())

    assert found == [(0, b"after"), (1, b"new")]
