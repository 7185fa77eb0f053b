"""The AsyncAPI document of the topics."""

import json
import warnings
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.asyncapi import asyncapi
from schemas.topics import topics
from tests.pipeline.conftest import health, look


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(asyncapi("1.2.3")))


def test_it_is_a_valid_document_of_every_topic(document: dict[str, Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from asyncapi3.models import AsyncAPI3  # noqa: PLC0415 (it warns of its own)

    assert AsyncAPI3.model_validate(document).info.version == "1.2.3"
    assert [*document["channels"]] == [topic.name for topic in topics(16)]
    assert document["channels"]["results"]["bindings"]["kafka"]["topicConfiguration"] == {
        "cleanup.policy": ["compact"],
        "max.message.bytes": 16_000_000,
    }

    assert "gzip, which every client reads" in document["channels"]["results"]["description"]
    assert "LZ4" in document["channels"]["units"]["description"]


@pytest.mark.parametrize(
    ("topic", "message", "is_valid"),
    [
        ("results", json.loads(look(1)), True),
        ("results", {"look": 1}, False),
        ("health", json.loads(health("a", 1)), True),
        ("events", {"event_type": "purchase", "user_id": "ann", "platform": "iOS"}, True),
        ("events", {"event_type": "purchase", "time": "now"}, False),
        ("exposures", {"flag_key": "button", "groups": {"org": ["acme"]}}, True),
        ("exposures", {"variant": "on"}, False),
    ],
)
def test_its_schemas_know_a_message_from_what_is_none(
    document: dict[str, Any], topic: str, message: Any, is_valid: bool
):
    payload = document["components"]["messages"][topic]["payload"]
    schema = {"$ref": payload["$ref"], "components": document["components"]}
    Draft202012Validator.check_schema(schema)

    assert Draft202012Validator(schema).is_valid(message) is is_valid


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for child in value.values() for each in references(child)]
        return [each for child in value for each in references(child)] if isinstance(value, list) else []

    for reference in references(document):
        place = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
