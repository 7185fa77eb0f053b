"""How clients connect."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments, faust_broker_credentials, kafka_python_arguments
from pipeline.settings import Settings

SASL = {
    "bootstrap_servers": "a:1,b:2",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "me",
    "sasl_password": "hunter2",
}


def read(given: Mapping[str, str]) -> Settings:
    return Settings.read({f"PEEKPROOF_{name.upper()}": value for name, value in given.items()})


def test_every_client_gets_the_same_security() -> None:
    settings = read(SASL)

    for arguments in (aiokafka_arguments(settings), kafka_python_arguments(settings)):
        assert arguments["security_protocol"] == "SASL_SSL"
        assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
        assert arguments["sasl_plain_username"] == "me"
        assert arguments["sasl_plain_password"] == "hunter2"
        assert arguments["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert aiokafka_arguments(settings)["bootstrap_servers"] == "a:1,b:2"
    assert kafka_python_arguments(settings)["bootstrap_servers"] == ["a:1", "b:2"]


def test_faust_hands_its_client_what_aiokafka_gets() -> None:
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth  # noqa: PLC0415 (slow)

    for protocol in ("SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"):
        given = {**SASL, "security_protocol": protocol}
        if not protocol.startswith("SASL"):
            given = {name: value for name, value in given.items() if not name.startswith("sasl_")}
        settings = read(given)

        of_faust = dict(credentials_to_aiokafka_auth(faust_broker_credentials(settings)))
        ours = aiokafka_arguments(settings)

        contexts = (of_faust.get("ssl_context"), ours.get("ssl_context"))
        assert [context is not None for context in contexts] == [protocol.endswith("SSL")] * 2
        for name in ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
            assert of_faust.get(name) == ours.get(name), (protocol, name)


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="a:1", security_protocol="SSL", ssl_cafile=tmp_path / "gone.pem")

    with pytest.raises(PeekproofError, match=r"ssl_cafile '.*gone.pem'"):
        aiokafka_arguments(settings)
