"""AsyncAPI: the topics and their messages for other programs' tools, generated from the structs and the topics."""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.aggregate import Aggregate
from schemas.arrivals import Arrivals
from schemas.assignment import Assignment
from schemas.brief import Brief
from schemas.catalog import Cohort, Deployment, Document, Flag, FlagState, Group, Metric, Template
from schemas.comment import Comment
from schemas.event import Event
from schemas.exposure import Exposure
from schemas.health import WorkerHealth
from schemas.look import Look
from schemas.notification import HandedOver, Notification, NotificationRule
from schemas.source import ForeignSource
from schemas.topics import (
    AGGREGATES,
    ARRIVALS,
    ASSIGNMENTS,
    CATALOG,
    DEAD_LETTERS,
    DELIVERIES,
    EVENTS,
    EXPOSURES,
    HEALTH,
    IDENTITIES,
    NOTIFICATIONS,
    OPEN,
    RESULTS,
    UNITS,
    topics,
)

VERSION = "3.0.0"
UNITS_PARTITIONS = 16  # unless an installation says otherwise

MESSAGES: dict[str, type[msgspec.Struct]] = {  # by topic
    EXPOSURES: Exposure,
    EVENTS: Event,
    ASSIGNMENTS: Assignment,
    AGGREGATES: Aggregate,
    RESULTS: Look,
    CATALOG: Document,
    HEALTH: WorkerHealth,
    NOTIFICATIONS: Notification,
    DELIVERIES: HandedOver,
    ARRIVALS: Arrivals,
}
BYTES = {  # topics whose values are no JSON, and what they are
    UNITS: ("application/vnd.apache.arrow.stream", "One Arrow record batch: what units did, from stage to stage."),
    IDENTITIES: (
        "application/vnd.apache.arrow.stream",
        "One Arrow record batch: who was seen with which unit, and what people did who named none.",
    ),
    DEAD_LETTERS: (
        "application/octet-stream",
        "The original bytes (at most 16 MB) of what could not be used; headers say why.",
    ),
}
SPECS = (  # of a document, by kind
    FlagState,
    Metric,
    Group,
    Cohort,
    Deployment,
    NotificationRule,
    Template,
    Brief,
    ForeignSource,
    Comment,
)
OURS = "#/components/schemas/{name}"


def asyncapi(version: str) -> dict[str, Any]:
    """The document of one version of the program: what it takes from each topic, and what it says on it."""
    _, schemas = msgspec.json.schema_components(
        [*MESSAGES.values(), Flag, *SPECS],
        ref_template=OURS,
        schema_hook=_anything,
    )
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    schemas["Document"]["properties"]["spec"] = {
        "description": "by kind",
        "anyOf": [{"$ref": OURS.format(name=each.__name__)} for each in SPECS],
    }
    every = topics(UNITS_PARTITIONS)
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Peekproof",
            "version": version,
            "description": "Topics of an installation. A prefix, if it has one, comes before each address, with a dot.",
        },
        "defaultContentType": "application/json",
        "channels": {
            topic.name: {
                "address": topic.name,
                "description": f"What we write is compressed by {_codec(topic.name)}.",
                "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
                "bindings": {"kafka": {"partitions": topic.partitions, "topicConfiguration": _settings(topic.config)}},
            }
            for topic in every
        },
        "operations": dict(_operations(topic.name for topic in every)),
        "components": {"messages": {topic.name: _message(topic.name) for topic in every}, "schemas": schemas},
    }


def _codec(name: str) -> str:
    return "gzip, which every client reads" if name in OPEN else "LZ4, for which some clients want a package more"


def _anything(_: type) -> dict[str, Any]:
    return {"description": "any JSON value"}


def _operations(names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    for name in names:
        action = "receive" if name in (EXPOSURES, EVENTS) else "send"
        yield f"{action}-{name}", {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _message(topic: str) -> dict[str, Any]:
    if topic in BYTES:
        content_type, summary = BYTES[topic]
        return {"name": topic, "summary": summary, "contentType": content_type}
    struct = MESSAGES[topic]
    return {
        "name": topic,
        "summary": (struct.__doc__ or "").strip().partition("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": OURS.format(name=struct.__name__)},
    }


def _settings(config: dict[str, str]) -> dict[str, Any]:
    """Those of a topic's settings that AsyncAPI's binding of Kafka knows."""
    known: dict[str, Any] = {}
    if "cleanup.policy" in config:
        known["cleanup.policy"] = config["cleanup.policy"].split(",")
    for name in ("retention.ms", "max.message.bytes"):
        if name in config:
            known[name] = int(config[name])
    return known
