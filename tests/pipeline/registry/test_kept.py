"""What is asked of a registry, what is kept of its answers, and what is said where it does not answer as one."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.registry import protocol
from pipeline.registry.kept import KeptSchemas
from pipeline.registry.protoc import ProtoError, compiled
from pipeline.registry.protocol import RegistryError
from pipeline.settings import Secret, Settings
from schemas.writer_schema import SchemaName

MONEY = {"type": "record", "name": "Money", "fields": [{"name": "cents", "type": "long"}]}
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "total", "type": "Money"}]}
ANSWERS: dict[str, Any] = {
    "/schemas/ids/1": {
        "schema": json.dumps(ORDER),
        "references": [{"name": "Money", "subject": "of/money", "version": 2}],
    },
    "/schemas/ids/1/versions": [{"subject": "orders-value", "version": 4}],
    "/subjects/of%2Fmoney/versions/2": {
        "schema": json.dumps(MONEY),
        "references": [{"name": "Money", "subject": "of/money", "version": 2}],  # a circle
    },
    "/schemas/types": ["JSON", "PROTOBUF", "AVRO"],
    "/schemas/ids/2": {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3"; message A { B b = 1; }'},
}


class Registry(ThreadingHTTPServer):
    """A server that answers what a test says, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers = dict(ANSWERS)
        self.drips = False  # a byte after the other
        self.asked: list[tuple[str, str | None]] = []
        self.leads = ""  # where it leads whoever asks


class Answering(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        missing = 404, {"error_code": 40403, "message": "Schema not found"}
        found = self.server.answers.get(self.path, missing)
        code, said = found if isinstance(found, tuple) else (200, found)
        self.send_response(302 if self.server.leads else code)
        if self.server.leads:
            self.send_header("location", self.server.leads)
        self.end_headers()
        text = b"" if self.server.leads else json.dumps(said).encode()
        for i in range(len(text)) if self.server.drips else ():
            self.wfile.write(text[i : i + 1])
            time.sleep(0.05)
        self.wfile.write(b"" if self.server.drips else text)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def settings(server: Registry, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, schema_registry=f"http://127.0.0.1:{server.server_address[1]}/")


def test_a_schema_comes_with_its_names_and_what_it_refers_to_and_is_asked_for_once(server, settings):
    (schema,) = KeptSchemas(settings).of([1]).values()
    asked = len(server.asked)
    again = KeptSchemas(settings).of([1])

    assert schema.names == (SchemaName("orders-value", 4),)
    assert [json.loads(text) for text in schema.needed] == [MONEY]
    assert json.loads(schema.text) == ORDER
    assert again == {1: schema}
    assert len(server.asked) == asked == 3


def test_what_is_not_there_or_of_no_use_has_a_fault_and_is_not_kept(server, settings):
    server.answers["/schemas/ids/4"] = {"schemaType": "GRAPHQL", "schema": "type A { b: Int }"}
    server.answers["/schemas/ids/5"] = 404, {"error_code": 404, "message": "No schema 5"}

    found = KeptSchemas(settings).of([2, 3, 4, 5])

    assert found[2].fault is not None
    assert found[2].fault == 'protoc says: peekproof-schema.proto:1:32: "B" is not defined.'  # wherever it was compiled
    assert found[3].fault == f"{str(settings.schema_registry).rstrip('/')} has no schema of this number"
    assert str(found[4].fault).endswith("has it as one of GRAPHQL, which is not read")
    assert found[5].fault == found[3].fault
    assert not (settings.data / "schemas").exists()


def test_a_schema_whose_names_cannot_be_had_is_read_without_them(server, settings):
    server.answers["/schemas/ids/1/versions"] = 500, {"error_code": 50001, "message": "the store is away"}

    (schema,) = KeptSchemas(settings).of([1]).values()

    assert (schema.names, schema.fault, json.loads(schema.text)) == ((), None, ORDER)


def test_a_registry_that_leads_in_a_circle_is_told_in_one_line(server, settings):
    server.leads = "/schemas/ids/9"

    with pytest.raises(RegistryError, match=r"it leads from address to address, 10 times") as it:
        KeptSchemas(settings).of([1])

    assert "\n" not in str(it.value)


def test_nothing_is_unknown_where_no_registry_is(server, settings):
    server.answers["/schemas/ids/1"] = server.answers["/schemas/types"] = 404, {"error_code": 404, "message": "what?"}
    kept = KeptSchemas(settings)

    with pytest.raises(RegistryError, match=r"/schemas/types answers 404: what\?; set schema_registry to"):
        kept.of([1])

    assert kept.known([1]) == {}


@pytest.mark.parametrize(
    ("answer", "way_out"),
    [
        ((401, {"error_code": 40101, "message": "who are you"}), "who are you; set schema_registry_username"),
        ((404, {}), "set schema_registry to where a registry answers"),
        ((503, {}), "it is asked again"),
        ({"schema": 1}, "does not answer as one"),
    ],
)
def test_a_registry_that_does_not_answer_as_one_is_an_error_with_the_way_out(server, settings, answer, way_out):
    server.answers["/schemas/ids/1"] = answer
    kept = KeptSchemas(settings)

    with pytest.raises(RegistryError, match=way_out):
        kept.of([1])

    assert kept.known([1]) == {}


def test_an_answer_that_drips_is_waited_for_no_longer_than_one_that_does_not_come(server, settings, monkeypatch):
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.4)
    server.drips = True
    began = time.monotonic()

    with pytest.raises(RegistryError, match=r"no whole answer within 0 s\); it is asked again"):
        KeptSchemas(settings).of([1])

    assert time.monotonic() - began < 0.05 * len(json.dumps(ANSWERS["/schemas/ids/1"]))


def test_nobody_is_asked_where_no_registry_is_set(tmp_path):
    with pytest.raises(RegistryError, match="set it in the settings"):
        KeptSchemas(Settings(data=tmp_path)).of([1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"schema_registry_username": "me", "schema_registry_password": Secret("pw")},
            f"Basic {base64.b64encode(b'me:pw').decode()}",
        ),
        ({"schema_registry_token": Secret("t")}, "Bearer t"),
    ],
)
def test_the_registry_is_told_who_asks(server, settings, given, said):
    asking = Settings(data=settings.data, schema_registry=settings.schema_registry, **given)

    KeptSchemas(asking).of([1])

    assert {authorization for _, authorization in server.asked} == {said}


@pytest.mark.parametrize("names", [("a", "a/b.proto"), ("a" * 300,), ("a\0b",)])
def test_names_that_no_folder_holds_are_told(names):
    with pytest.raises(ProtoError, match="cannot be compiled"):
        compiled('syntax = "proto3";', dict.fromkeys(names, 'syntax = "proto3";'))


@pytest.mark.parametrize("name", ["given", "result", "given/x.proto", "result/x.proto", "texts/x.proto"])
def test_a_schema_may_refer_to_any_other_name(name):
    other = 'syntax = "proto3"; message B {}'

    assert name.encode() in compiled(f'syntax = "proto3"; import "{name}"; message A {{ B b = 1; }}', {name: other})


@pytest.mark.parametrize("name", ["../out.proto", "/tmp/out.proto", "a/../../out.proto"])
def test_what_a_schema_refers_to_is_written_nowhere_else(name):
    with pytest.raises(ProtoError, match="no name of a file"):
        compiled('syntax = "proto3";', {name: 'syntax = "proto3";'})
