"""Protocol: what a schema registry says of a schema, as Confluent's, Apicurio's, Karapace and Redpanda answer.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import asyncio
import base64
from typing import NamedTuple, TypeVar, cast, get_args
from urllib.parse import quote

import msgspec

from pipeline.errors import PeekproofError
from pipeline.registry.protoc import LONGEST_TOLD, ProtoError, compiled
from pipeline.settings import Settings
from schemas.writer_schema import SchemaKind, SchemaName, WriterSchema

ANSWER_SECONDS = 5.0  # for an answer to come, to its last byte
LARGEST = 10_000_000  # bytes of an answer
MOST_NEEDED = 200  # schemas to which one refers, and so on
NOT_FOUND = 404  # an answer's status, and its error_code or the beginning of that
FAILED = 400  # the least status of one
TYPES = "/schemas/types"  # what every registry of the protocol answers, with or without schemas

Answer = TypeVar("Answer")


class RegistryError(PeekproofError):
    """The registry does not answer now, or not as one does: somebody may mend that, so nothing is given up."""


class _Reference(msgspec.Struct):
    name: str
    subject: str
    version: int


class _Registered(msgspec.Struct, rename="camel"):
    schema: str
    schema_type: str = "AVRO"
    references: list[_Reference] | None = None


class _Refusal(msgspec.Struct):
    error_code: int = 0
    message: str = ""


class _Answered(NamedTuple):
    """What came: the status, its words, and the body."""

    status: int
    reason: str
    body: bytes


class RegistryClient:
    """Asks a registry, one question at a time; safe for threads, but for one in which an event loop runs."""

    def __init__(self, settings: Settings) -> None:
        self.url = (settings.schema_registry or "").rstrip("/")
        self._authorization: str | None = None
        if settings.schema_registry_token is not None:
            self._authorization = f"Bearer {settings.schema_registry_token}"
        elif settings.schema_registry_username is not None:
            who = f"{settings.schema_registry_username}:{settings.schema_registry_password}"
            self._authorization = f"Basic {base64.b64encode(who.encode()).decode()}"

    def schema(self, number: int) -> WriterSchema:
        """The schema of that number, with all that it refers to; `fault` where there is none, or none of use.

        Raises RegistryError.
        """
        if not self.url:
            raise RegistryError(
                "schema_registry is not set, so nobody can say what the records' schemas are; set it in the settings "
                "file, or as PEEKPROOF_SCHEMA_REGISTRY"
            )
        found = self._get(f"/schemas/ids/{number}", _Registered)
        if found is None:
            return WriterSchema(id=number, fault=f"{self.url} has no schema of this number")
        if found.schema_type not in get_args(SchemaKind):
            return WriterSchema(id=number, fault=f"{self.url} has it as one of {found.schema_type}, which is not read")
        try:
            names = self._get(f"/schemas/ids/{number}/versions", list[SchemaName]) or []
        except RegistryError:  # they are only words of dead letters
            names = []
        kind = cast("SchemaKind", found.schema_type)
        schema = WriterSchema(id=number, kind=kind, text=found.schema, names=tuple(names))
        needed: dict[str, str] = {}
        try:
            self._need(found, needed)
            if found.schema_type == "PROTOBUF":
                return msgspec.structs.replace(schema, files=compiled(found.schema, needed))
        except ProtoError as error:
            return msgspec.structs.replace(schema, fault=str(error))
        return msgspec.structs.replace(schema, needed=tuple(needed.values()))

    def _need(self, schema: _Registered, needed: dict[str, str]) -> None:
        """Note the texts of what a schema refers to, by name, each behind what it refers to itself."""
        for each in schema.references or ():
            if each.name in needed:
                continue
            if len(needed) >= MOST_NEEDED:
                raise ProtoError(f"it refers to more than {MOST_NEEDED} schemas")
            found = self._get(f"/subjects/{quote(each.subject, safe='')}/versions/{each.version}", _Registered)
            if found is None:
                raise ProtoError(f"it refers to {each.subject} version {each.version}, which is not there")
            needed[each.name] = ""  # so that a circle ends
            self._need(found, needed)
            del needed[each.name]
            needed[each.name] = found.schema

    def _get(self, path: str, kind: type[Answer]) -> Answer | None:
        """What is answered; None: the registry says that there is no such thing. Raises RegistryError."""
        try:
            answer = asyncio.run(self._ask(path))
            if answer.status < FAILED:
                return msgspec.json.decode(answer.body, type=kind)
        except (OSError, ValueError) as error:  # msgspec's errors too
            said = _words(error) or f"no whole answer within {ANSWER_SECONDS:.0f} s"
            raise RegistryError(
                f"schema_registry {self.url} does not answer as one ({said}); it is asked again"
            ) from error
        refusal = _refusal(answer.body)
        if answer.status == NOT_FOUND and path != TYPES and self._means_it(refusal):
            return None
        said = _words(refusal.message or answer.reason)
        raise RegistryError(f"{self.url}{path} answers {answer.status}: {said}; {_way_out(answer.status)}")

    async def _ask(self, path: str) -> _Answered:
        """Proxies are those that the environment names. Raises OSError or ValueError."""
        from aiohttp import ClientError, ClientSession, ClientTimeout, TooManyRedirects  # noqa: PLC0415 (slow to import)

        headers = {"accept": "application/vnd.schemaregistry.v1+json"}
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        body = bytearray()
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS), trust_env=True) as session,
                session.get(self.url + path, headers=headers) as answer,
            ):
                async for some in answer.content.iter_any():
                    body += some
                    if len(body) > LARGEST:
                        raise ValueError(f"it sends more than {LARGEST} bytes")
                return _Answered(answer.status, answer.reason or "", bytes(body))
        except TooManyRedirects as error:
            raise OSError(f"it leads from address to address, {len(error.history)} times") from error
        except ClientError as error:
            raise OSError(str(error) or type(error).__name__) from error

    def _means_it(self, refusal: _Refusal) -> bool:
        """Whether one that finds nothing speaks of what was asked for: such as 40403, or of 404 where a registry is.

        Many servers answer 404 to a path that they don't have, and so does a registry at another address than its own.
        """
        if refusal.error_code == NOT_FOUND:
            self._get(TYPES, list[str])
        return NOT_FOUND in {refusal.error_code, refusal.error_code // 100}


def _refusal(body: bytes) -> _Refusal:
    try:
        return msgspec.json.decode(body, type=_Refusal)
    except ValueError:
        return _Refusal()


def _words(said: object) -> str:
    """What somebody said, in one line."""
    return " ".join(str(said).split())[:LONGEST_TOLD]


def _way_out(code: int) -> str:
    match code:
        case 401 | 403:
            return "set schema_registry_username and schema_registry_password, or schema_registry_token"
        case 404:
            return f"set schema_registry to where a registry answers {TYPES} (Apicurio's: …/apis/ccompat/v7)"
    return "it is asked again"
