"""Words: rules, notifications and what became of them, on the topics of a test's deployment."""

import asyncio
from typing import Any

import msgspec
from kafka import KafkaProducer

from pipeline.catalog.topic import CatalogWriter
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from schemas.notification import HandedOver, Notification, NotificationRule, Place, Trigger
from schemas.topics import DELIVERIES, NOTIFICATIONS


def rule(*to: Place, key: str = "all", **more: Any) -> NotificationRule:
    return NotificationRule(key=key, owner="team", when=(Trigger(event="verdict changed"),), to=to, **more)


def word(identity: str, rule: str = "all", subject: str = "flag/a") -> Notification:
    """A notification, of which the sentence says the id."""
    return Notification(
        id=identity,
        rule=rule,
        event="verdict changed",
        subject=subject,
        time=1_767_225_600_000,
        sentence=f"{identity} wins",
        link="#/a",
    )


def apply(settings: Settings, rule: NotificationRule) -> None:
    """Publish the rule."""

    async def publish() -> None:
        async with CatalogWriter(settings) as writer:
            await writer.publish(writer.next_version(rule, "tests", "they want to know"))

    asyncio.run(publish())


def say(settings: Settings, *records: Notification | HandedOver) -> None:
    """Put them on their topics, in order."""
    producer = KafkaProducer(**kafka_python_arguments(settings))
    for record in records:
        topic = NOTIFICATIONS if isinstance(record, Notification) else DELIVERIES
        producer.send(settings.topic(topic), msgspec.json.encode(record), key=b"a", partition=0)
    producer.flush()
    producer.close()
