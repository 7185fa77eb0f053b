"""The JSON Schema that editors complete and check our documents with."""

import json
import re
from pathlib import Path
from typing import ClassVar

import jsonschema
import pytest
import yaml

from schemas.json_schema import DOCUMENTS, json_schema

CONFIGS = Path(__file__).parents[2] / "configs"
BOOL = "tag:yaml.org,2002:bool"


class Editor(yaml.SafeLoader):
    """Reads YAML 1.2, as editors do: on and off are texts."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Editor.add_implicit_resolver(BOOL, re.compile("^(?:true|false)$"), list("tf"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_published_file_is_current(document: str):
    published = (CONFIGS / "schemas" / f"{document}.json").read_text()

    assert published == json_schema(document), "run `peekproof schema` and commit the file"


def test_a_schema_knows_the_fields_what_they_mean_and_that_there_are_no_others():
    schema = json.loads(json_schema("metric"))

    metric = schema["$defs"]["Metric"]
    assert schema["allOf"] == [{"$ref": "#/$defs/Metric"}]
    assert metric["required"] == ["key", "owner", "type", "window"]
    assert metric["additionalProperties"] is False
    assert metric["properties"]["window"]["description"].startswith("a duration, for example 500ms")


def test_a_deviation_is_no_share_of_control_and_a_breakdown_compares_nothing():
    described = json.loads(json_schema("experiment"))["$defs"]
    deviation, margin = described["Baseline"]["properties"]["deviation"], described["Goal"]["properties"]["margin"]

    assert "of control" in json.dumps(margin)
    assert "of control" not in json.dumps(deviation)
    assert "standard deviation" in json.dumps(deviation)
    assert "compared" not in json.dumps(described["Breakdown"]["properties"]["property"])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_example_document_names_its_schema(document: str):
    folder = f"{document}s"
    files = sorted((CONFIGS / folder).glob("*.yaml"))

    assert files
    schema = json.loads(json_schema(document))
    for file in files:
        jsonschema.validate(yaml.load(file.read_text(), Editor), schema)
        first = file.read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=../schemas/{document}.json"
        assert (file.parent / first.partition("=")[2]).is_file()
