import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import PeekproofError
from pipeline.settings import FILE, Settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "peekproof.toml"


def read(file: Path, text: str = "", **environment: str) -> Settings:
    file.write_text(text)
    return Settings.read({"PEEKPROOF_SETTINGS": str(file)} | environment)


def test_environment_goes_before_file_goes_before_default(file: Path) -> None:
    settings = read(file, 'prefix = "shop"\nhorizon = "2h"\nunits_partitions = 4', PEEKPROOF_HORIZON="90m")

    assert settings.horizon == 90 * 60_000
    assert settings.prefix == "shop"
    assert settings.units_partitions == 4
    assert settings.tolerance == 10 * 60_000


def test_empty_text_in_the_environment_takes_a_setting_of_the_file_back(file: Path) -> None:
    settings = read(
        file, 'prefix = "shop"\nbootstrap_servers = "a:1"', PEEKPROOF_PREFIX="", PEEKPROOF_BOOTSTRAP_SERVERS=""
    )

    assert settings.prefix == ""
    assert settings.bootstrap_servers is None


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().horizon = 0  # type: ignore[misc]


def test_shipped_file_explains_every_setting_and_shows_the_defaults(file: Path) -> None:
    shipped = (REPOSITORY / FILE).read_text()
    for name in Settings.__struct_fields__:
        assert f"\n# {name} = " in shipped, f"configs/peekproof.toml does not explain {name}"
    optional = (
        "bootstrap_servers",
        "prefix",
        "checkpoints",
        "archive_keep",
        "health_port",
        "schema_registry",
        "http_",
        "url",
        "oidc_",
        "sasl_",
        "ssl_",
    )

    lines = [line[2:] for line in shipped.splitlines() if " = " in line and not line[2:].startswith(optional)]
    given = read(file, "\n".join(lines))

    assert read(file, shipped) == Settings()
    assert given == Settings()
    assert len(lines) == 10


@pytest.mark.parametrize("servers", ["[::1]:9092", "a:1,[2001:db8::7]:9092", "[fe80::1%eth0]:9092,b:2"])
def test_servers_may_be_addresses_of_ipv6(file: Path, servers: str) -> None:
    settings = read(file, "", PEEKPROOF_BOOTSTRAP_SERVERS=servers)

    assert settings.servers() == servers


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('horizon = "soon"', "horizon: 'soon' is no duration"),
        ("horizon = 60", "horizon: '60' is no duration"),
        ("horizon = 1.5", "horizon: '1.5' does not fit; write text or a whole number"),
        ("units_partitions = 0", "units_partitions: '0' does not fit; write a whole number from 1 to 1024"),
        ("units_partitions = true", "units_partitions: 'True' does not fit"),
        ('prefix = "a b"', "prefix: 'a b' does not fit; write letters"),
        ('prefix = ".a"', "prefix: '.a' does not fit"),
        ('bootstrap_servers = "localhost"', "bootstrap_servers: 'localhost' does not fit; write host:port"),
        ('bootstrap_servers = "::1:9092"', "'::1:9092' does not fit; write host:port or [IPv6 address]:port"),
        ('bootstrap_servers = "[::1]"', "'[::1]' does not fit; write host:port or [IPv6 address]:port"),
        ('security_protocol = "TLS"', "security_protocol: 'TLS' does not fit; write one of PLAINTEXT, SSL"),
        ('readers = "friends"', "readers: 'friends' does not fit; write one of owner, group, everybody"),
        ('horizont = "1h"', "horizont: there is no such setting; did you mean horizon?"),
        ("= 3", "is no TOML"),
    ],
)
def test_error_names_file_key_value_and_rule(file: Path, text: str, rule: str) -> None:
    with pytest.raises(PeekproofError) as raised:
        read(file, text)

    assert str(file) in str(raised.value)
    assert rule in str(raised.value)


def test_error_names_the_variable(file: Path) -> None:
    with pytest.raises(PeekproofError, match=r"^PEEKPROOF_ARCHIVE_INTERVAL: '1 min' is no duration"):
        read(file, PEEKPROOF_ARCHIVE_INTERVAL="1 min")


def test_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PeekproofError, match=r"PEEKPROOF_SETTINGS names '.*gone.toml', which does not exist"):
        Settings.read({"PEEKPROOF_SETTINGS": str(tmp_path / "gone.toml")})


def test_prefix_names_topics_and_groups() -> None:
    assert (Settings().topic("units"), Settings().group("archive")) == ("units", "peekproof-archive")

    settings = Settings(prefix="shop")

    assert (settings.topic("units"), settings.group("archive")) == ("shop.units", "shop.peekproof-archive")


def test_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text('prefix = "other"\nbootstrap_servers = "elsewhere:1"\nhorizon = "3h"')
    settings = Settings(
        data=tmp_path / "data", tolerance=1_500, security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem"
    )

    program = "import msgspec; from pipeline.settings import Settings; s = Settings.read(); print(msgspec.json.encode("
    program += "msgspec.to_builtins(s, enc_hook=str)).decode())"
    child = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=settings.environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=True,
    )

    assert msgspec.json.decode(child.stdout) == msgspec.to_builtins(settings, enc_hook=str)


SASL = {
    "bootstrap_servers": "a:1,b:2",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "me",
    "sasl_password": "hunter2",
}


def test_password_is_hidden(file: Path) -> None:
    settings = read(file, **{f"PEEKPROOF_{name.upper()}": value for name, value in SASL.items()})

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in f"{settings} {settings!s} {msgspec.structs.asdict(settings)}"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"sasl_username": "me"}, "sasl_username is set, but security_protocol is PLAINTEXT"),
        ({"ssl_cafile": Path("x")}, "ssl_cafile is set, but security_protocol is PLAINTEXT"),
        ({"security_protocol": "SASL_SSL"}, "which needs sasl_mechanism; set it"),
        ({"security_protocol": "SSL", "ssl_keyfile": Path("x")}, "set ssl_certfile too"),
        ({"schema_registry_token": "x"}, "schema_registry_token is set, but schema_registry is not"),
        ({"schema_registry": "http://x", "schema_registry_username": "x"}, "schema_registry_username is set; a regis"),
    ],
)
def test_security_settings_must_agree(given: dict, rule: str) -> None:
    with pytest.raises(PeekproofError, match=rule):
        Settings(**given)


def test_without_servers_and_without_a_broker_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(PeekproofError, match="start one with `peekproof broker`"):
        Settings(data=tmp_path).servers()


def test_a_tolerance_beyond_the_horizon_is_refused() -> None:
    with pytest.raises(PeekproofError, match="tolerance is 600000 ms, but horizon is 10000 ms"):
        Settings(horizon=10_000)
