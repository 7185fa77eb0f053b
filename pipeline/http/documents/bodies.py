"""Bodies: a definition as JSON or as YAML, and why it is published. Both are read as files are."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar.exceptions import ClientException
from msgspec import UNSET, UnsetType

from evaluation.catalog.rules import Violation, path_text
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.types import type_violations
from pipeline.catalog.yaml_file import YamlFile, yaml_documents
from pipeline.http.management.bodies import FAULTS, DocumentRequest
from pipeline.http.management.words import LONGEST_REASON
from schemas.catalog import WRITTEN, Cohort, Definition, WrittenKind
from schemas.numbers import Count
from schemas.written import Switch

TEXT = "yaml"  # what a text is called in its faults

Reason = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=LONGEST_REASON, description=f"why: a text of 1 to {LONGEST_REASON:,} characters"
    ),
]


class DefinitionRequest(DocumentRequest):
    """The same of one that may hold very many ids: nobody else waits while it is read."""

    async def json(self) -> Any:
        """The body as the route declares it. Raises ClientException with what is wrong with it, and where."""
        return await asyncio.to_thread(self.read, await self.body())


class DefinitionSaid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A definition: as JSON, or as the `yaml` of a file."""

    definition: Any = UNSET
    yaml: str | UnsetType = UNSET


class Checking(DefinitionSaid, frozen=True, kw_only=True):
    """A definition that might be published; `base` is the version that it rests on."""

    base: Count | None = None


class Publishing(DefinitionSaid, frozen=True, kw_only=True):
    """A definition, and why it is published.

    `base` is the version that it rests on, 0 for a new document; `yes`: despite risks.
    """

    base: Count
    reason: Reason
    yes: Switch = False


class FaultAt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with a field, such as `variants[1].key`, and in which line of a YAML text it stands."""

    path: str
    error: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What a request says: a definition, or what is wrong with it; `file` knows the lines of YAML."""

    definition: Definition | None
    faults: tuple[FaultAt, ...] = ()
    file: YamlFile | None = None

    def at(self, violation: Violation) -> FaultAt:
        """A violation of the definition with its place."""
        line = self.file.line(violation.path) if self.file else None
        return FaultAt(path=path_text(violation.path), error=violation.message, line=line)


def read(kind: WrittenKind, said: DefinitionSaid, key: str | None = None) -> Read:
    """The definition that a request holds, of that key where one is said. Raises ClientException: there is none."""
    if (said.definition is UNSET) == (said.yaml is UNSET):
        raise ClientException("a request has one of two: a `definition`, or the `yaml` of one")
    if said.yaml is UNSET:
        return read_value(kind, said.definition, key)
    return read_yaml(kind, said.yaml, key)


def read_yaml(kind: WrittenKind, text: str, key: str | None = None) -> Read:
    """The definition of a YAML text."""
    try:
        first, *others = yaml_documents(text, TEXT)
        if others:
            told = "a second document begins here; import them, or send the first alone"
            raise DocumentError([Fault(TEXT, others[0].line, told)])
    except DocumentError as error:
        return Read(None, tuple(map(_placed, error.faults)))
    value, file, faults = first.read(WRITTEN[kind])
    return read_value(kind, value, key, file, faults)


def read_value(
    kind: WrittenKind,
    value: object,
    key: str | None = None,
    file: YamlFile | None = None,
    faults: Sequence[Fault] = (),
) -> Read:
    """The definition that plain values are."""
    blank = Read(None, file=file)
    found = [*map(_placed, faults), *(blank.at(each) for each in type_violations(value, WRITTEN[kind]))]
    if found:
        return Read(None, tuple(found), file)
    definition = msgspec.convert(value, WRITTEN[kind])
    if key is not None and definition.key != key:
        told = f"'{definition.key}' is not '{key}', whose address this is: a key stays; PUT a copy to its own"
        return Read(None, (blank.at(Violation(("key",), told)),), file)
    if isinstance(definition, Cohort) and definition.file is not None:
        told = f"'{definition.file}' would lie beside a file, and here is none; send its `ids`"
        return Read(None, (blank.at(Violation(("file",), told)),), file)
    return Read(definition, file=file)


def sound(read: Read) -> Definition:
    """The definition. Raises ClientException with every fault."""
    if read.definition is None:
        told = [f"{each.path}: {each.error}" if each.path else each.error for each in read.faults]
        raise ClientException("\n".join(told), extra={FAULTS: msgspec.to_builtins(read.faults)})
    return read.definition


def _placed(fault: Fault) -> FaultAt:
    return FaultAt(path=fault.field, error=fault.message, line=fault.line)
