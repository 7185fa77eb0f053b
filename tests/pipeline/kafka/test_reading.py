"""A topic read from its beginning, and on."""

import pytest
from kafka import KafkaProducer

from pipeline.errors import PeekproofError
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from schemas.topics import RESULTS


def test_following_goes_on_with_what_comes(deployment: Settings, producer: KafkaProducer) -> None:
    topic = deployment.topic(RESULTS)
    producer.send(topic, b"before", b"k").get()

    records = read_topic(deployment, RESULTS, follow=True)
    first = next(records)
    producer.send(topic, b"after", b"k").get()
    second = next(records)
    records.close()  # type: ignore[attr-defined]

    assert (first.value, second.value) == (b"before", b"after")


def test_a_topic_that_is_missing_is_an_error_that_says_what_to_do(broker: str) -> None:
    settings = Settings(bootstrap_servers=broker, prefix="nowhere")

    with pytest.raises(PeekproofError, match=r"'nowhere\.results' does not exist; `peekproof topics` creates it"):
        next(read_topic(settings, RESULTS))
