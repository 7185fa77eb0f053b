"""The catalog topic on a real broker: readers and writers."""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from evaluation.catalog.lifecycle import apply_definition, complete, start
from pipeline.catalog.topic import CatalogReader, CatalogWriter, EditConflictError, read_catalog
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.settings import Settings
from schemas.catalog import Cohort, Flag, Goal, Metric, Variant
from schemas.topics import CATALOG

Result = TypeVar("Result")
PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
BUTTON = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchase"),),
)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def put(settings: Settings, *values: bytes | None) -> None:
    """Write to the topic by other means."""
    producer = AIOKafkaProducer(**aiokafka_arguments(settings))
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(settings.topic(CATALOG), value)
    finally:
        await producer.stop()


def test_a_published_version_stands_for_every_reader(deployment: Settings):
    async def publish() -> None:
        async with CatalogWriter(deployment) as writer:
            await writer.publish(writer.next_version(PURCHASE, "ann", "first"))
            await writer.publish(writer.next_version(apply_definition(None, BUTTON, 1), "ann", "first"))
            for step in (lambda state: start(state, 2, "salt0001"), lambda state: complete(state, 3)):
                await writer.publish(writer.next_version(step(writer.history.state_of("button")), "bob", "next"))

    run(publish())
    history = read_catalog(deployment)

    flag = history.newest.flags["button"]
    assert (flag.version, flag.status, flag.runs[0].key, flag.runs[0].salt) == (3, "complete", "exp-1", "salt0001")
    assert flag.append_time >= flag.runs[0].started > 0
    assert [each.document.author for each in history.versions_of("flag", "button")] == ["ann", "bob", "bob"]
    assert not history.rejected


def test_two_editors_cannot_overwrite_each_other_unnoticed(deployment: Settings):
    async def edit() -> list[BaseException | None]:
        async with CatalogWriter(deployment) as ann, CatalogWriter(deployment) as bob:
            edits = [
                writer.publish(writer.next_version(msgspec.structs.replace(PURCHASE, window=window), name, "edit"))
                for writer, name, window in ((ann, "ann", "20s"), (bob, "bob", "30s"))
            ]
            return await asyncio.gather(*edits, return_exceptions=True)

    outcomes = run(edit())

    (conflict,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(conflict, EditConflictError)
    assert "version 1 of metric 'purchase' came too late and changes nothing" in str(conflict)
    assert "version 1 stands; read it again" in str(conflict)
    history = read_catalog(deployment)
    winner = "20s" if outcomes[0] is None else "30s"
    assert history.newest.metrics["purchase"].definition.window == winner
    assert len(history.versions) == len(history.rejected) == 1


def test_a_document_that_readers_would_ignore_is_never_published(deployment: Settings):
    async def publish() -> None:
        async with CatalogWriter(deployment) as writer:
            with pytest.raises(PeekproofError, match=r"version 1 of flag 'button' is not published: .*is no metric"):
                await writer.publish(writer.next_version(apply_definition(None, BUTTON, 1), "ann", "too early"))
            first = writer.next_version(PURCHASE, "ann", "first")
            await writer.publish(first)
            with pytest.raises(PeekproofError, match="edits version 0, but version 1 stands"):
                await writer.publish(first)

    run(publish())

    assert read_catalog(deployment).newest.offset == 1


def test_a_foreign_record_is_ignored_and_reported_and_edits_go_on(
    deployment: Settings, caplog: pytest.LogCaptureFixture
):
    async def publish() -> None:
        await put(deployment, b"not json", b"", b'{"kind":"flag"}')
        async with CatalogWriter(deployment) as writer:
            await writer.publish(writer.next_version(PURCHASE, "ann", "first"))

    run(publish())

    history = read_catalog(deployment)
    assert [rejected.offset for rejected in history.rejected] == [0, 1, 2]
    assert history.newest.metrics["purchase"].version == 1
    assert "the record at offset 0 of catalog/0 is set aside: " in caplog.text


def test_a_reader_picks_up_what_was_appended_before_it_was_asked(deployment: Settings):
    async def read() -> list[int]:
        reader = CatalogReader(deployment)
        await reader.start()
        seen = [reader.history.newest.offset]
        try:
            async with CatalogWriter(deployment) as writer:
                for scale in range(5):
                    changed = msgspec.structs.replace(PURCHASE, scale=scale)
                    await writer.publish(writer.next_version(changed, "ann", "again"))
                    await asyncio.gather(*(reader.caught_up() for _ in range(100)))
                    seen.append(reader.history.newest.offset)
            return seen
        finally:
            await reader.stop()

    assert run(read()) == [0, 1, 2, 3, 4, 5]


def test_append_times_are_the_brokers(deployment: Settings):
    async def publish() -> None:
        producer = AIOKafkaProducer(**aiokafka_arguments(deployment))
        await producer.start()
        await producer.send_and_wait(deployment.topic(CATALOG), b"x", timestamp_ms=1_000)
        await producer.stop()

    run(publish())

    assert read_catalog(deployment).newest.append_time > 1_600_000_000_000


def test_a_deployment_without_topics_is_told_the_command(deployment: Settings):
    nowhere = msgspec.structs.replace(deployment, prefix="never-made")

    with pytest.raises(
        PeekproofError,
        match=r"^none of Peekproof's topics exists here yet, such as never-made\..*`peekproof topics` makes them$",
    ):
        read_catalog(nowhere)


def test_a_cluster_that_does_not_answer_is_an_error_that_names_it():
    nowhere = Settings(bootstrap_servers="127.0.0.1:1")

    with pytest.raises(PeekproofError, match=r"Kafka at 127.0.0.1:1 does not let us in .*PEEKPROOF_BOOTSTRAP"):
        read_catalog(nowhere)


def test_a_cohort_of_a_hundred_thousand_ids_is_one_version_and_a_larger_document_is_refused(deployment: Settings):
    cohort = Cohort(key="many", owner="shop", ids=tuple(str(uuid.uuid4()) for _ in range(100_000)))
    larger = msgspec.structs.replace(cohort, ids=tuple(f"{number:0170}" for number in range(100_000)))

    async def publish() -> None:
        async with CatalogWriter(deployment) as writer:
            await writer.publish(writer.next_version(cohort, "ann", "all customers"))
            with pytest.raises(PeekproofError, match=r"a record holds 15,900,000; split a cohort's ids among several"):
                await writer.publish(writer.next_version(larger, "ann", "longer ids"))

    run(publish())

    assert read_catalog(deployment).newest.cohorts["many"].definition == cohort
