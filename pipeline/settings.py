"""Settings: what one installation decides. Environment over file over default, read once, frozen.

The file is `configs/peekproof.toml`, or the one that PEEKPROOF_SETTINGS names; there each setting is explained. In the
environment a setting has its name in capitals after `PEEKPROOF_`; empty text there means: not set.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from pipeline.errors import PeekproofError
from pipeline.local_kafka import broker
from schemas.duration import parse_duration
from schemas.topics import MARK

FILE = Path("configs/peekproof.toml")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
READERS = ("owner", "group", "everybody")
PLANS = ("act", "tell")
OAUTH = "OAUTHBEARER"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTH)


class Secret(str):
    """Text that does not show in a representation."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One installation's settings. Durations are in milliseconds. `configs/peekproof.toml` explains each.

    Raises PeekproofError for settings that contradict each other.
    """

    bootstrap_servers: str | None = None
    prefix: str = ""
    data: Path = Path("data")
    readers: str = "owner"
    checkpoints: str | None = None
    units_partitions: int = 16
    horizon: int = 3_600_000
    tolerance: int = 600_000
    archive_interval: int = 60_000
    archive_keep: int | None = None
    checkpoint_interval: int = 10_000
    recount_share: float = 0.5
    plans: str = "act"
    http_port: int = 8080
    url: str | None = None
    http_certfile: Path | None = None
    http_keyfile: Path | None = None
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: Secret | None = None
    oidc_roles: str | None = None
    oidc_role_claim: str = "groups"
    oidc_name_claim: str = "email"
    oidc_scopes: str = "openid profile email"
    health_port: int | None = None
    schema_registry: str | None = None
    schema_registry_username: str | None = None
    schema_registry_password: Secret | None = None
    schema_registry_token: Secret | None = None
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: Secret | None = None
    sasl_oauth_url: str | None = None
    sasl_oauth_client_id: str | None = None
    sasl_oauth_client_secret: Secret | None = None
    sasl_oauth_scope: str | None = None
    sasl_oauth_cafile: Path | None = None
    sasl_oauth_aws_region: str | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None

    def __post_init__(self) -> None:
        self._check_security()
        self._check_provider()
        self._check_registry()
        if self.tolerance > self.horizon:
            raise PeekproofError(
                f"tolerance is {self.tolerance} ms, but horizon is {self.horizon} ms: a run would become final before "
                "an event that lies so far in the future; give a tolerance of at most the horizon: set "
                f"PEEKPROOF_TOLERANCE={self.horizon}ms"
            )
        for of in ("ssl", "http"):
            key, certificate = f"{of}_keyfile", f"{of}_certfile"
            if getattr(self, key) is not None and getattr(self, certificate) is None:
                raise PeekproofError(f"{key} is the key of a certificate: set {certificate} too, or leave it out")

    def _check_provider(self) -> None:
        needed = ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_roles", "url")
        given = [name for name in needed if getattr(self, name) is not None]
        missing = [name for name in needed if name not in given]
        if missing and given not in ([], ["url"]):
            raise PeekproofError(
                f"{given[0]} is set, but {missing[0]} is not, without which nobody is let in by a provider; set it in "
                f"the settings file or as {_variable(missing[0])}, or leave out {given[0]}"
            )

    def _check_registry(self) -> None:
        name, password, token = (f"schema_registry_{each}" for each in ("username", "password", "token"))
        given = [each for each in (name, password, token) if getattr(self, each) is not None]
        if given and self.schema_registry is None:
            raise PeekproofError(f"{given[0]} is set, but schema_registry is not; set where the registry is, too")
        if given not in ([], [name, password], [token]):
            raise PeekproofError(
                f"{given[-1]} is set; a registry lets in by {name} and {password}, or by {token} alone: set what is "
                "missing, or leave out the rest"
            )

    def _check_security(self) -> None:
        """Every setting that is given is used, and every one that is used is given."""
        chosen, needed, used = f"security_protocol is {self.security_protocol}", set[str](), set[str]()
        if self.has_tls:
            used |= {"ssl_cafile", "ssl_certfile", "ssl_keyfile"}
        if self.has_sasl:
            needed = {"sasl_mechanism"}
        if self.has_sasl and self.sasl_mechanism is not None:
            chosen = f"sasl_mechanism is {self.sasl_mechanism}"
            if self.sasl_mechanism != OAUTH:
                needed |= {"sasl_username", "sasl_password"}
            elif self.sasl_oauth_aws_region is not None:
                chosen += " by AWS"
                needed |= {"sasl_oauth_aws_region"}
            else:
                needed |= {"sasl_oauth_url", "sasl_oauth_client_id", "sasl_oauth_client_secret"}
                used |= {"sasl_oauth_scope", "sasl_oauth_cafile"}
        for name in _PARSERS:
            is_given = getattr(self, name) is not None
            if name.startswith(("sasl_", "ssl_")) and is_given and name not in needed | used:
                why = (
                    chosen
                    if self.has_sasl and name.startswith("sasl_")
                    else f"security_protocol is {self.security_protocol}"
                )
                raise PeekproofError(
                    f"{name} is set, but {why}, which makes no use of it; "
                    f"choose one that does ({', '.join(PROTOCOLS)}; {', '.join(MECHANISMS)}) or leave {name} out"
                )
            if name in needed and not is_given:
                raise PeekproofError(
                    f"{chosen}, which needs {name}; set it in the settings file or as {_variable(name)}"
                )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of this process.

        Raises PeekproofError that names file or variable, key, value and rule.
        """
        values = {}
        file = Path(environment.get("PEEKPROOF_SETTINGS") or FILE)
        if file.exists() or environment.get("PEEKPROOF_SETTINGS"):
            for name, value in _parsed(file).items():
                values[name] = _value(name, value, f"{file}: {name}")
        for name in _PARSERS:
            if (text := environment.get(_variable(name))) is not None:
                values[name] = _value(name, text, _variable(name)) if text else cls._default(name)
        return cls(**values)

    @classmethod
    def _default(cls, name: str) -> Any:
        return next(field.default for field in msgspec.structs.fields(cls) if field.name == name)

    @property
    def has_sasl(self) -> bool:
        """Whether brokers are told who we are by SASL."""
        return self.security_protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        """Whether connections to brokers are encrypted."""
        return self.security_protocol.endswith("SSL")

    def topic(self, name: str) -> str:
        """A topic's name on the cluster; of one that is not ours, its own."""
        if name.startswith(MARK):
            return name.removeprefix(MARK)
        return f"{self.prefix}.{name}" if self.prefix else name

    def group(self, stage: str) -> str:
        """The consumer group of a stage."""
        return f"{self.prefix}.peekproof-{stage}" if self.prefix else f"peekproof-{stage}"

    def servers(self) -> str:
        """The bootstrap servers: those that are set, else those of our own broker.

        Raises PeekproofError when there are none.
        """
        own = self.data / "broker"
        found = self.bootstrap_servers or broker.running(own)
        if found is None:
            raise PeekproofError(
                f"bootstrap_servers is not set, and no broker of our own runs on '{own}'; "
                "start one with `peekproof broker`, or set PEEKPROOF_BOOTSTRAP_SERVERS"
            )
        return found

    @property
    def checkpoint_location(self) -> str:
        """Where aggregation and identity keep their state: a directory, or an object store's URI."""
        return self.checkpoints or str(self.data / "checkpoints")

    @property
    def snapshot(self) -> Path:
        """The DuckDB file that analysts open."""
        return self.data / "peekproof.duckdb"

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these very settings, whatever its settings file says."""
        texts = {}
        for name, value in msgspec.structs.asdict(self).items():
            if isinstance(value, Path):
                text = str(value.absolute())
            elif value is None:
                text = ""
            elif _PARSERS[name] is parse_duration:
                text = f"{value}ms"
            else:
                text = str(value)
            texts[_variable(name)] = text
        return texts


def _servers(text: str) -> str:
    server = r"([^\s,:\[\]]+|\[[0-9A-Fa-f:.]+(%[^\s,\[\]]+)?\]):\d{1,5}"
    if not re.fullmatch(f"{server}(,{server})*", text):
        raise ValueError("write host:port or [IPv6 address]:port, several with commas between them and no spaces")
    return text


def _prefix(text: str) -> str:
    # Kafka allows 249 characters; the rest is for our own names.
    if not re.fullmatch(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,199}", text):
        raise ValueError("write letters, digits, '-', '_' or '.', as Kafka's topic names have them, at most 200")
    return text


def _partitions(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text) or int(text) > 1024:
        raise ValueError("write a whole number from 1 to 1024")
    return int(text)


def _share(text: str) -> float:
    if not re.fullmatch(r"(0\.\d{1,3}|1(\.0+)?)", text) or float(text) < 0.01:
        raise ValueError("write a number from 0.01 to 1: of one core")
    return float(text)


def _location(text: str) -> str:
    return text if "://" in text else str(Path(text).absolute())


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65_535:
        raise ValueError("write a whole number from 0 to 65535; 0 takes a free port")
    return int(text)


def _url(of: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
            raise ValueError(f"write the address of {of}: https://…")
        return text

    return parse


def _issuer(text: str) -> str:
    if not re.fullmatch(r"https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?", text):
        raise ValueError("write the address of the provider: https://… (http:// on this machine alone)")
    return text.rstrip("/")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"write one of {', '.join(choices)}")
        return text

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bootstrap_servers": _servers,
    "prefix": _prefix,
    "data": Path,
    "readers": _one_of(*READERS),
    "checkpoints": _location,
    "units_partitions": _partitions,
    "horizon": parse_duration,
    "tolerance": parse_duration,
    "archive_interval": parse_duration,
    "archive_keep": parse_duration,
    "checkpoint_interval": parse_duration,
    "recount_share": _share,
    "plans": _one_of(*PLANS),
    "http_port": _port,
    "url": _url("the console"),
    "http_certfile": Path,
    "http_keyfile": Path,
    "oidc_issuer": _issuer,
    "oidc_client_id": str,
    "oidc_client_secret": Secret,
    "oidc_roles": str,
    "oidc_role_claim": str,
    "oidc_name_claim": str,
    "oidc_scopes": str,
    "health_port": _port,
    "schema_registry": _url("the schema registry"),
    "schema_registry_username": str,
    "schema_registry_password": Secret,
    "schema_registry_token": Secret,
    "security_protocol": _one_of(*PROTOCOLS),
    "sasl_mechanism": _one_of(*MECHANISMS),
    "sasl_username": str,
    "sasl_password": Secret,
    "sasl_oauth_url": _url("the token endpoint"),
    "sasl_oauth_client_id": str,
    "sasl_oauth_client_secret": Secret,
    "sasl_oauth_scope": str,
    "sasl_oauth_cafile": Path,
    "sasl_oauth_aws_region": str,
    "ssl_cafile": Path,
    "ssl_certfile": Path,
    "ssl_keyfile": Path,
}


def _variable(name: str) -> str:
    return f"PEEKPROOF_{name.upper()}"


def _parsed(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except FileNotFoundError:
        raise PeekproofError(f"PEEKPROOF_SETTINGS names '{file}', which does not exist; mend or unset it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PeekproofError(f"{file} is no TOML: {error}") from error
    except OSError as error:
        raise PeekproofError(f"{file} cannot be read: {error.strerror}") from error


def _value(name: str, value: object, place: str) -> Any:
    if name not in _PARSERS:
        close = difflib.get_close_matches(name, _PARSERS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_PARSERS)}"
        raise PeekproofError(f"{place}: there is no such setting; {hint}")
    try:
        allowed = str | int | float if _PARSERS[name] is _share else str | int
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise ValueError("write text or a whole number")
        return _PARSERS[name](str(value))
    except ValueError as error:
        reason = str(error) if f"'{value}'" in str(error) else f"'{value}' does not fit; {error}"
        raise PeekproofError(f"{place}: {reason}") from None
