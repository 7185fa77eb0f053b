"""Bodies: a definition as JSON or as YAML, and why it is published. Both are read as files are."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar.exceptions import ClientException
from msgspec import UNSET, UnsetType

from evaluation.catalog.rules import Violation, path_text
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.types import type_violations
from pipeline.catalog.yaml_file import YamlFile, document_text, yaml_documents
from pipeline.http.management.bodies import FAULTS, DocumentRequest
from pipeline.http.management.words import LONGEST_REASON
from schemas.catalog import KIND_OF, WRITTEN, Cohort, Definition, Flag, WrittenKind
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


class Checking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A definition that might be published, as JSON or as the `yaml` of a file; `base` is what it rests on."""

    definition: Any = UNSET
    yaml: str | UnsetType = UNSET
    base: Count | None = None


class Grounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a definition is published. `base` is the version that it rests on, 0 for a new one; `yes`: despite risks.

    `from_start`: experiments that would not count all of it from their start are counted again.
    """

    base: Count
    reason: Reason
    yes: Switch = False
    from_start: Switch = False


class Publishing(Grounds, frozen=True, kw_only=True):
    """A definition, as JSON or as the `yaml` of a file, and why it is published."""

    definition: Any = UNSET
    yaml: str | UnsetType = UNSET


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


def read(kind: WrittenKind, said: Checking | Publishing, key: str | None = None) -> Read:
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
        return Read(None, tuple(map(placed, error.faults)))
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
    found = [*map(placed, faults), *(blank.at(each) for each in type_violations(value, WRITTEN[kind]))]
    if found:
        return Read(None, tuple(found), file)
    definition = msgspec.convert(value, WRITTEN[kind])
    if misplaced := tuple(map(blank.at, _misplaced(definition, key))):
        return Read(None, misplaced, file)
    return Read(definition, file=file)


def placed_at(definition: Definition, key: str) -> Definition:
    """A definition that came to the address of a key. Raises ClientException where it can't stand there."""
    refuse([*map(Read(definition).at, _misplaced(definition, key))])
    return definition


def _misplaced(definition: Definition, key: str | None) -> Iterator[Violation]:
    """What of a definition can't be where it came, to the address of a key where one is said."""
    if key is not None and definition.key != key:
        told = f"'{definition.key}' is not '{key}', whose address this is: a key stays; PUT a copy to its own"
        yield Violation(("key",), told)
    if isinstance(definition, Cohort) and definition.file is not None:
        told = f"'{definition.file}' would lie beside a file, and here is none; send its `ids`"
        yield Violation(("file",), told)


def yaml_of(definition: Definition) -> str:
    """The definition as the text of a file, which says of what kind it is as editors want to know it."""
    name = "experiment" if isinstance(definition, Flag) and definition.metrics else KIND_OF[type(definition)]
    return f"# yaml-language-server: $schema=../schemas/{name}.json\n{document_text(definition)}"


def sound(read: Read) -> Definition:
    """The definition. Raises ClientException with every fault."""
    refuse(read.faults)
    assert read.definition is not None
    return read.definition


def refuse(faults: Sequence[FaultAt]) -> None:
    """Raises ClientException with the faults, if there are any."""
    if faults:
        told = [f"{each.path}: {each.error}" if each.path else each.error for each in faults]
        raise ClientException("\n".join(told), extra={FAULTS: msgspec.to_builtins(faults)})


def placed(fault: Fault) -> FaultAt:
    """A fault of a text with its place."""
    return FaultAt(path=fault.field, error=fault.message, line=fault.line)
