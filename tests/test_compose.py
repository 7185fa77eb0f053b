"""What `docker compose up` is told. Docker itself is not asked: neither it nor a registry need be here."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import yaml
from kafka.admin import ConfigResource, KafkaAdminClient

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.local_kafka import artifacts
from pipeline.settings import Settings
from pipeline.stages import STAGES

REPOSITORY = Path(__file__).parents[1]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """The part of the Compose specification that the file uses."""


class Condition(Strict):
    condition: Literal["service_healthy", "service_completed_successfully"]


class HealthCheck(Strict):
    test: list[str]
    start_period: str
    start_interval: str
    interval: str
    timeout: str


class Service(Strict):
    image: str
    build: Literal["."] | None = None
    environment: dict[str, str] = {}
    volumes: list[str] = []
    ports: list[str] = []
    command: list[str] = []
    entrypoint: list[str] = []
    user: Literal["root"] | None = None
    profiles: list[str] = []
    depends_on: dict[str, Condition] = {}
    healthcheck: HealthCheck | None = None
    restart: Literal["no", "unless-stopped"] = "no"
    stop_grace_period: str = "10s"


class Compose(Strict):
    name: str
    services: dict[str, Service]
    volumes: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def compose() -> Compose:
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    fragments = [name for name in document if name.startswith("x-")]
    return msgspec.convert({name: part for name, part in document.items() if name not in fragments}, Compose)


def test_every_stage_is_a_service_of_its_own(compose: Compose) -> None:
    workers = {name: service for name, service in compose.services.items() if service.command[:1] == ["worker"]}

    assert list(workers) == list(STAGES)
    for name, service in workers.items():
        assert service.command == ["worker", name]
        assert service.depends_on == {"topics": Condition("service_completed_successfully")}
        assert service.restart == "unless-stopped"
        assert service.image == compose.services["topics"].image


def test_what_is_waited_for_is_there_and_can_come_true(compose: Compose) -> None:
    for service in compose.services.values():
        for name, waited in service.depends_on.items():
            healthy = waited.condition == "service_healthy"
            assert (compose.services[name].healthcheck is not None) == healthy
            assert (compose.services[name].restart == "no") == (not healthy), "it would never be completed"


def test_every_stage_and_the_server_are_asked_for_their_health_where_they_tell_it(compose: Compose) -> None:
    for name in (*STAGES, "serve"):
        service = compose.services[name]
        settings = Settings.read(service.environment)
        port = settings.http_port if name == "serve" else settings.health_port
        assert service.healthcheck is not None
        assert f"'http://127.0.0.1:{port}/healthz'" in service.healthcheck.test[-1]


def test_settings_in_the_file_are_settings_that_there_are(compose: Compose) -> None:
    for name, service in compose.services.items():
        if service.image != "peekproof":
            continue
        known = {f"PEEKPROOF_{field.upper()}" for field in Settings.__struct_fields__}
        assert service.environment.keys() <= known, name
        settings = Settings.read(service.environment)
        assert str(settings.data) in {volume.split(":")[1] for volume in service.volumes}
        assert settings.bootstrap_servers in compose.services["kafka"].environment["KAFKA_ADVERTISED_LISTENERS"]


def test_kafka_is_the_release_that_is_tested_and_knows_every_property(compose: Compose, broker: str) -> None:
    kafka = compose.services["kafka"]
    settings = msgspec.structs.replace(Settings.read(), bootstrap_servers=broker)
    admin = KafkaAdminClient(**kafka_python_arguments(settings))
    node = admin.describe_cluster()["brokers"][0]["broker_id"]
    known = admin.describe_configs([ConfigResource("broker", str(node))], config_filter="all")["broker"][str(node)]
    admin.close()

    assert kafka.image == f"apache/kafka:{artifacts.KAFKA_VERSION}"
    # The image's rule: KAFKA_ goes, an underscore is a dot.
    assert {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in kafka.environment} <= known.keys()
    listeners = {listener.split("://")[0] for listener in kafka.environment["KAFKA_LISTENERS"].split(",")}
    protocols = {pair.split(":")[0] for pair in kafka.environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert listeners == protocols


def test_volumes_are_declared_and_ports_stay_on_this_machine(compose: Compose) -> None:
    sources = {volume.split(":")[0] for service in compose.services.values() for volume in service.volumes}
    ports = [port for service in compose.services.values() for port in service.ports]

    assert {source for source in sources if not source.startswith("./")} == compose.volumes.keys()
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_image_is_built_from_files_that_are_there_and_sent() -> None:
    sent = [
        line[1:].removesuffix("/**") for line in (REPOSITORY / ".dockerignore").read_text().split() if line[0] == "!"
    ]
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]

    assert sorted(copied) == sorted(sent)
    assert all((REPOSITORY / source).exists() for source in copied)


def test_image_takes_what_the_project_needs_from_the_lock_by_hash() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    locked = re.findall(
        r"^([a-z0-9-]+)==.* \\\n    --hash=", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE
    )

    installs = re.findall(r"pip install (.+?)(?: &&|$)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)

    assert installs == ["--require-hashes --requirement requirements.lock", "--no-deps --no-build-isolation ."]
    assert {re.split("[=>~]", each)[0] for each in needed} <= set(locked)
