"""Fitting: whether a source fits its topic, as somebody who may see the cluster can tell before it is published."""

import asyncio
from collections.abc import Iterable, Iterator

from evaluation.catalog.reading import readings
from evaluation.catalog.rules import Violation
from evaluation.catalog.source_rules import topic_violations
from pipeline.catalog.topic import catalog_now
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering
from pipeline.kafka.sample import faults_of, newest
from pipeline.settings import FILE, Settings
from schemas.source import REGISTERED, ForeignSource
from schemas.topics import MARK, topics

TIMES = "message.timestamp.type"


async def unreadable(settings: Settings) -> dict[str, str]:
    """The topics (with `@`) of the sources that are not paused which cannot be read, and why not."""
    return await faults_of(settings, readings(await catalog_now(settings), settings.horizon))


async def fit_violations(settings: Settings, source: ForeignSource) -> list[Violation]:
    """What is wrong with a source on this installation, and with its `delay` by whose times its topic's records carry.

    A topic that is not there yet, or may not be read, can be made a source all the same: it is read once it can be.
    """
    if found := list(setting_violations(settings, source)):
        return found
    has_own_times = await asyncio.to_thread(_configured, settings, source.topic)
    if has_own_times is None:
        has_own_times = await _seen(settings, source.topic)
    fault = None if has_own_times is None else times_fault(source, has_own_times)
    return [Violation(("delay",), fault)] if fault else []


def setting_violations(settings: Settings, source: ForeignSource) -> Iterator[Violation]:
    """What is wrong with a source by the settings alone: its topic is ours, or nobody explains its records."""
    yield from topic_violations(source, [settings.topic(topic.name) for topic in topics(settings.units_partitions)])
    if source.format in REGISTERED and settings.schema_registry is None:
        lacking = f"{source.format} takes a registry of schemas; say where it is, in PEEKPROOF_SCHEMA_REGISTRY or as"
        yield Violation(("format",), f"{lacking} schema_registry in {FILE}")


async def unread(settings: Settings, sources: Iterable[ForeignSource]) -> dict[str, str]:
    """Why the topics of some of these sources, by their keys, cannot be read yet. Paused ones wait for none."""
    topics_of = {source.key: MARK + source.topic for source in sources if not source.paused}
    faults = await faults_of(settings, [*topics_of.values()]) if topics_of else {}
    return {key: faults[topic] for key, topic in topics_of.items() if topic in faults}


def times_fault(source: ForeignSource, has_own_times: bool) -> str | None:
    """What is wrong with `delay`, by whose times the topic's records carry."""
    if has_own_times and source.delay is None:
        return (
            f"is missing; records of topic '{source.topic}' carry their producers' times (CreateTime): say how much "
            f"later than these they may come, such as `delay: 5m`, or have the topic's {TIMES} set to LogAppendTime"
        )
    if source.delay is not None and not has_own_times:
        return f"remove it; records of topic '{source.topic}' carry the broker's times (LogAppendTime), none is delayed"
    return None


def _configured(settings: Settings, name: str) -> bool | None:
    """By the topic's setting; None where there is no such topic, or we may not see it."""
    from kafka.admin import ConfigResource, KafkaAdminClient  # noqa: PLC0415 (slow to import)
    from kafka.errors import KafkaError  # noqa: PLC0415

    with answering(settings):
        admin: KafkaAdminClient = KafkaAdminClient(client_id="peekproof-sources", **kafka_python_arguments(settings))
        try:
            asked = [ConfigResource("topic", name, configs={TIMES: None})]
            found = admin.describe_configs(asked, config_filter="all")["topic"]
            return bool(found[name][TIMES]["value"] == "CreateTime")
        except (KafkaError, LookupError):
            return None
        finally:
            admin.close()


async def _seen(settings: Settings, name: str) -> bool | None:
    """By the newest records; None where there are none, or we may not read them."""
    try:
        slices = await newest(settings, MARK + name, 1)
    except PeekproofError:
        return None
    return any(records.has_own_times for records in slices) if slices else None
