"""Producer: the client that a stage sends with, directly. Idempotent, acknowledged by all replicas, in order."""

from aiokafka import AIOKafkaProducer

from pipeline.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

BATCH_BYTES = 1_000_000


def create_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer; it must be created while the event loop runs, and started."""
    return AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_MESSAGE_BYTES,
        **settings.aiokafka_arguments(),
    )
