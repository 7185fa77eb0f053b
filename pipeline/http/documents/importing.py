"""Importing: the documents of one YAML text, of whatever kinds, checked together and published together."""

import asyncio
import re
from dataclasses import dataclass

import msgspec
import yaml
from litestar import post, put
from litestar.exceptions import ClientException

from evaluation.catalog.history import History
from evaluation.catalog.rules import Violation
from pipeline.catalog import editing
from pipeline.catalog.editing import Signature, in_order
from pipeline.catalog.faults import DocumentError
from pipeline.catalog.types import type_violations
from pipeline.catalog.yaml_file import YamlDocument, yaml_documents
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.documents.bodies import TEXT, FaultAt, Read, Reason, placed, read_value, refuse
from pipeline.http.documents.checking import Checked, checked, unread
from pipeline.http.documents.publishing import Published, published, require_role
from pipeline.http.management.life import EditRequest, publishing
from schemas.catalog import KIND_OF, WRITTEN, WrittenKind
from schemas.numbers import Count
from schemas.written import Key, Switch

SCHEMA = re.compile(r"\$schema=\S*?([a-z]+)\.json")  # of the line that editors want


class Importing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text of YAML documents, with `---` between them."""

    yaml: str


class BaseOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version of a document that is decided on; 0: a new one."""

    kind: WrittenKind
    key: Key
    base: Count


class PublishingAll(Importing, frozen=True, kw_only=True):
    """The same, and why they are published; `bases` tell of each the version that it rests on, `yes`: despite risks.

    `from_start`: experiments that would not count all of it from their start are counted again.
    """

    reason: Reason
    bases: tuple[BaseOf, ...]
    yes: Switch = False
    from_start: Switch = False


class CheckedPart(Checked, frozen=True, kw_only=True):
    """What is foreseen of a document of a text, which begins in `line`; null: its kind or key is not to be found."""

    line: int
    kind: WrittenKind | None
    key: str | None


class CheckedParts(msgspec.Struct, frozen=True, kw_only=True):
    """What is foreseen of each document, in the order of the text."""

    documents: list[CheckedPart]


class PublishedParts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each document, in the order in which they were published."""

    documents: list[Published]


@dataclass(frozen=True, slots=True)
class Imported:
    """A document of a text: its kind, where it is to be found, and what it says."""

    line: int
    kind: WrittenKind | None
    key: str | None
    read: Read


@post("/documents/import", status_code=200, guards=[requires(EDITING)])
async def check_import(request: EditRequest, backend: Backend, data: Importing) -> CheckedParts:
    """Tell of each document of a text what publishing them all would come to. Nothing is published."""
    signature = Signature(request.auth.name, "check")
    return await asyncio.to_thread(_checked, backend.catalog.history.copy(), data.yaml, signature)


@put("/documents", guards=[requires(EDITING)])
async def put_documents(request: EditRequest, backend: Backend, data: PublishingAll) -> PublishedParts:
    """Publish all documents of a text that differ, each behind those that it names, all checked beforehand."""
    parts = await asyncio.to_thread(_parts, data.yaml)
    refuse([fault for part in parts for fault in part.read.faults])
    definitions = in_order([part.read.definition for part in parts if part.read.definition])
    for each in definitions:
        require_role(request, KIND_OF[type(each)])
    bases = {(each.kind, each.key): each.base for each in data.bases}
    if baseless := [(kind, each.key) for each in definitions if (kind := KIND_OF[type(each)], each.key) not in bases]:
        told = ", ".join(f"{kind} '{key}'" for kind, key in baseless)
        raise ClientException(f"bases: say the version that {told} rests on, 0 where it is new; a GET of it tells that")
    signature = Signature(request.auth.name, data.reason)
    async with publishing():
        changes = await editing.edit(
            backend.writer, definitions, signature, data.yes, bases, from_start=data.from_start
        )
    return PublishedParts(
        documents=[published(backend, KIND_OF[type(each)], each.key, changes) for each in definitions]
    )


def _checked(history: History, text: str, signature: Signature) -> CheckedParts:
    parts = _parts(text)
    unsound = {(part.kind, part.key) for part in parts if part.kind and part.key and part.read.faults}
    definitions = in_order([part.read.definition for part in parts if part.read.definition])
    found = {id(each.definition): each for each in editing.foresee(definitions, history.copy(), signature, unsound)}
    told = []
    for part in parts:
        if part.read.definition is None or part.kind is None:
            one = unread(part.read)
        else:
            one = checked(part.kind, part.read, found[id(part.read.definition)], history, None)
        told.append(CheckedPart(**msgspec.structs.asdict(one), line=part.line, kind=part.kind, key=part.key))
    return CheckedParts(documents=told)


def _parts(text: str) -> list[Imported]:
    """The documents of a text. Raises ClientException where it is no YAML, or holds none."""
    try:
        documents = [each for each in yaml_documents(text, TEXT) if not _is_empty(each)]
    except DocumentError as error:
        refuse(list(map(placed, error.faults)))
        raise
    if not documents:
        raise ClientException("yaml: the text holds no document; paste one, or several with --- between them")
    seen: dict[tuple[WrittenKind, str], int] = {}
    return [_part(each, seen) for each in documents]


def _part(document: YamlDocument, seen: dict[tuple[WrittenKind, str], int]) -> Imported:
    kind = kind_of_document(document)
    if kind is None:
        told = (
            f"it may be {' or '.join(_kinds(document))}; say of what kind it is in a line above it, such as "
            "# yaml-language-server: $schema=../schemas/metric.json"
        )
        return Imported(document.line, None, None, Read(None, (FaultAt(path="", error=told, line=document.line),)))
    value, file, faults = document.read(WRITTEN[kind])
    read = read_value(kind, value, file=file, faults=faults)
    said = value.get("key") if isinstance(value, dict) else None
    key = said if isinstance(said, str) else None
    first = seen.setdefault((kind, key), document.line) if key else document.line
    if first != document.line:
        told = f"'{key}' is the key of the {kind} in line {first} too; a key names one document"
        read = Read(None, (read.at(Violation(("key",), told)),), file)
    return Imported(document.line, kind, key, read)


def kind_of_document(document: YamlDocument) -> WrittenKind | None:
    """What a document is: as the line for editors says, else by its fields; None: it may be one or another."""
    said = SCHEMA.findall(document.before)
    name = "flag" if said and said[-1] == "experiment" else said[-1] if said else None
    kinds = [kind for kind in WRITTEN if kind == name] or _kinds(document)
    return kinds[0] if len(kinds) == 1 else None


def _kinds(document: YamlDocument) -> list[WrittenKind]:
    """The kinds whose fields a document has, or that come next to it."""
    nodes = document.node.value if isinstance(document.node, yaml.MappingNode) else ()
    names = {key.value for key, _ in nodes if isinstance(key, yaml.ScalarNode)}
    nearest = _least({kind: _strangers(names, kind) for kind in WRITTEN})
    return nearest if len(nearest) == 1 else _least({kind: _type_faults(document, kind) for kind in nearest})


def _least(wrong: dict[WrittenKind, int]) -> list[WrittenKind]:
    return [kind for kind, count in wrong.items() if count == min(wrong.values())]


def _strangers(names: set[str], kind: WrittenKind) -> int:
    """How many of the names are none of a kind's fields, and how many that it must have are missing."""
    fields = msgspec.structs.fields(WRITTEN[kind])
    required = {field.encode_name for field in fields if field.required}
    return len(names - {field.encode_name for field in fields}) + len(required - names)


def _type_faults(document: YamlDocument, kind: WrittenKind) -> int:
    value, _, _ = document.read(WRITTEN[kind])
    return sum(1 for _ in type_violations(value, WRITTEN[kind]))


def _is_empty(document: YamlDocument) -> bool:
    return isinstance(document.node, yaml.ScalarNode) and not document.node.value and not document.node.style


ROUTES = [check_import, put_documents]
