"""Shop: the topic to which the demo's shop writes its orders, in a shape of its own, and the source that reads it.

The topic is made as a shop would make it, but that its name has the demo's prefix: it is the demo's alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evaluation.catalog.in_force import Catalog
from pipeline.catalog.documents import Documents, read_documents
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering
from pipeline.settings import Settings

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

SOURCE = "shop-orders"  # of the examples; it is paused there, since nobody but the demo has its topic
PARTITIONS = 2
CONFIG = {"message.timestamp.type": "LogAppendTime"}


def topic_of(settings: Settings) -> str:
    """The topic's name on the cluster."""
    return settings.topic("shop.orders")


def topic_in(catalog: Catalog) -> str | None:
    """The topic that the source reads; None where there is no such source, or it is paused."""
    source = catalog.sources.get(SOURCE)
    return None if source is None or source.definition.paused else source.definition.topic


def documents_of(settings: Settings, directory: Path) -> Documents:
    """The documents of a directory, of which the source reads the topic."""
    documents = read_documents(directory)
    orders = documents.sources[SOURCE]
    definition = msgspec.structs.replace(orders.definition, topic=topic_of(settings), paused=False)
    return replace(documents, sources=documents.sources | {SOURCE: replace(orders, definition=definition)})


def open_shop(settings: Settings) -> None:
    """Make the topic."""
    with _admin(settings) as admin:
        admin.create_topics({topic_of(settings): {"num_partitions": PARTITIONS, "configs": CONFIG}})


def close_shop(settings: Settings) -> None:
    """Delete the topic."""
    with _admin(settings) as admin:
        admin.delete_topics([topic_of(settings)])


@contextmanager
def _admin(settings: Settings) -> Iterator["KafkaAdminClient"]:
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 (slow to import)

    with answering(settings):
        admin: KafkaAdminClient = KafkaAdminClient(client_id="peekproof-shop", **kafka_python_arguments(settings))
        try:
            yield admin
        finally:
            admin.close()
