"""The OpenAPI document, and a server that is driven by it with whatever fits it and whatever does not."""

import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from jsonschema import Draft202012Validator
from kafka import KafkaConsumer, TopicPartition
from openapi_spec_validator import validate

from pipeline.http.results.looks import COLUMNS
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from schemas.fields import fields
from schemas.look import TOLD, Cell
from schemas.topics import CATALOG, EVENTS, EXPOSURES
from tests.pipeline.http.server import Server, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

ENDLESS = ("/api/1/results/stream", "/api/1/notifications/stream")
TWICE = "/api/1/experiments/{key}/"  # the handlers of /api/1/flags/{key}/, but for results
KNOWN = {"key": "button", "variant": "control", "step": "start"}  # what random paths never hit


def operations(document: dict[str, Any]) -> list[Any]:
    loaded = schemathesis.openapi.from_dict(document)
    found = [result.ok() for result in loaded.get_all_operations()]
    once = [each for each in found if not each.path.startswith(TWICE) or "results" in each.path]
    return [each for each in once if each.path not in ENDLESS]


def drive(document: dict[str, Any], address: str, examples: int) -> Counter[int]:
    """Call every operation with generated requests, half of them about what exists; how often each status came."""
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for operation in operations(document):
            _drive(operation, address, session, examples, statuses)
    return statuses


def _drive(operation: Any, address: str, session: requests.Session, examples: int, statuses: Counter[int]) -> None:
    turn = count()

    @seed(1)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        if next(turn) % 2:
            case.path_parameters |= {name: KNOWN[name] for name in case.path_parameters if name in KNOWN}
        case.headers.pop("Authorization", None)
        answer = case.call(base_url=address, session=session)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, f"{case.method} {answer.request.url}: {answer.text}"

    call()


def ends(deployment: Settings, *names: str) -> dict[str, int]:
    consumer = KafkaConsumer(**kafka_python_arguments(deployment))
    found = {}
    for name in names:
        topic = deployment.topic(name)
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        found[name] = sum(consumer.end_offsets(places).values())
    consumer.close()
    return found


def test_the_document_is_valid_and_the_server_survives_what_fits_it(open_server: Server):
    document = httpx.get(f"{open_server.address}/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert httpx.get(f"{open_server.address}/asyncapi.json").json()["asyncapi"] == "3.0.0"

    statuses = drive(document, open_server.address, examples=2)

    for hostile in (b'{"key":"a","variants":' + b"[" * 100_000, b'{"key":"\xff"}', b"", b"[]"):
        json = {"content-type": "application/json"}
        assert httpx.post(f"{open_server.address}/api/1/flags", content=hostile, headers=json).status_code == 400
    assert httpx.get(f"{open_server.address}/readyz").text == "ok"
    assert {200, 400, 404, 409} <= statuses.keys()


def test_what_a_look_consists_of_is_described_field_by_field(open_server: Server):
    schemas = httpx.get(f"{open_server.address}/openapi.json").json()["components"]["schemas"]

    for struct in TOLD:
        described = schemas[struct.__name__]["properties"]
        assert described.keys() == {*struct.__struct_fields__}
        assert all(described[name].items() >= field.schema.items() for name, field in fields(struct).items())
    assert all(schemas["Columns"]["properties"][name].items() >= fields(Cell)[name].schema.items() for name in COLUMNS)


def test_f21_generators_of_clients_can_make_use_of_the_document(open_server: Server):
    document = httpx.get(f"{open_server.address}/openapi.json").json()
    operations = [each for methods in document["paths"].values() for each in methods.values()]

    names = [each["operationId"] for each in operations]
    assert all(name.isidentifier() for name in names)
    assert len({name.lower() for name in names}) == len(names)
    assert all(each["security"] for each in operations)
    for name, each in zip(names, operations, strict=True):
        content = each["responses"]["200"]["content"]
        assert content.keys() <= {"application/json", "application/yaml", "text/csv", "text/event-stream"}, name
        if "application/json" in content:
            assert content["application/json"]["schema"].get("type") != "string", name

    for place, schema in places(document):
        kinds = schema.get("type")  # of which Go's generator knows one
        assert not (isinstance(kinds, list) and len({*kinds} - {"null"}) > 1), place
        assert "prefixItems" not in schema, place


def places(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object within the document, and where it stands."""
    if isinstance(value, dict):
        yield place, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, f"{place}/{name}")


def test_what_the_server_answers_fits_the_document(open_server: Server):
    """The routes that write their bytes themselves."""
    document = httpx.get(f"{open_server.address}/openapi.json").json()
    ann = {"user_id": "ann"}
    asked: list[tuple[str, str, str, dict[str, Any]]] = [
        ("post", "/sdk/v2/vardata", "/sdk/v2/vardata", {"json": ann}),
        ("post", "/v1/vardata", "/v1/vardata", {"json": ann}),
        ("get", "/sdk/v2/flags", "/sdk/v2/flags", {}),
        ("get", "/sdk/v1/cohort/{key}", "/sdk/v1/cohort/testers", {"auth": ("any", "key")}),
        ("post", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", {"json": {"context": ann}}),
        ("post", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", {"json": {}}),
        ("post", "/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/beta", {"json": {"context": ann}}),
        ("post", "/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/button", {"json": {}}),
        ("post", "/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/none", {"json": {"context": ann}}),
    ]

    for method, path, address, arguments in asked:
        answer = httpx.request(method, f"{open_server.address}{address}", **arguments)
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())


def test_nothing_is_read_or_written_without_a_key(shop: Settings):
    before = ends(shop, CATALOG, EVENTS, EXPOSURES)

    with serving(shop, is_open=False) as server:
        document = httpx.get(f"{server.address}/openapi.json").json()
        statuses = drive(document, server.address, examples=1)

    assert set(statuses) <= {200, 400, 401, 403, 405}, statuses
    assert statuses[200] + statuses[403] <= 2, statuses  # how one signs in, and that pages of others do not
    assert statuses[401] > 30
    assert ends(shop, CATALOG, EVENTS, EXPOSURES) == before
