"""YAML: a file or a text as values, with the line of each field, and definitions as YAML that is read as the same.

Scalars mean what YAML 1.2 says, as in editors: `on` and `off` are texts, dates too. Where a text is wanted they are one
as they are written, digit for digit; where anything may stand, what would lose digits is refused. Anchors and merges
are refused.
"""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import yaml

from evaluation.catalog import rules
from evaluation.catalog.exact_json import MOST_DIGITS, digits_fault, half_fault
from evaluation.catalog.rules import Violation, path_text
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.types import required
from schemas.catalog import Cohort, Definition
from schemas.numbers import DECIMAL

Lines = dict[rules.Path, int]  # the line of each field, counted from 1
_FLOAT = re.compile(DECIMAL)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.@-]*")  # that YAML needs no quotes for
_BREAKS = frozenset("\x85\u2028\u2029\ufeff")  # that a reader takes for the end or the beginning of a line


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that was read: its name and the line of each of its fields."""

    name: str
    lines: Lines

    def line(self, path: rules.Path) -> int:
        """The line of a field, or of the nearest field around it that is written down."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def fault(self, path: rules.Path, message: str) -> Fault:
        """A fault of the field at `path`."""
        return Fault(self.name, self.line(path), message, path_text(path))

    def faults(self, violations: Iterable[Violation]) -> list[Fault]:
        """The violations as faults of this file."""
        return [self.fault(violation.path, violation.message) for violation in violations]


def read_yaml(path: Path, kind: type[msgspec.Struct]) -> tuple[object, YamlFile, list[Fault]]:
    """A file's value, its scalars as a definition of the kind wants them, and what of it could not be used.

    Raises DocumentError where it is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError([Fault(str(path), 1, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        told = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        raise DocumentError([Fault(str(path), 1, told)]) from None
    first, *others = yaml_documents(text, str(path))
    if others:
        told = "a second document begins here; put it into a file of its own"
        raise DocumentError([Fault(str(path), others[0].line, told)])
    return first.read(kind)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a text, that no kind has been given yet."""

    name: str  # of the text
    node: yaml.Node
    before: str = ""  # what stands between the one before it and it

    @property
    def line(self) -> int:
        """Where it begins."""
        return int(self.node.start_mark.line) + 1

    def read(self, kind: type[msgspec.Struct]) -> tuple[object, YamlFile, list[Fault]]:
        """Its value, its scalars as a definition of the kind wants them, and what of it could not be used."""
        reading = _Reading(self.name)
        value = reading.typed(reading.value(self.node, ()), kind, ())
        return value, YamlFile(self.name, reading.lines), reading.faults


def yaml_documents(text: str, name: str) -> list[YamlDocument]:
    """The documents of a text, at least one. Raises DocumentError where it is no YAML."""
    nodes = _compose(text, name)
    begins = [0, *(node.end_mark.index for node in nodes)]
    return [
        YamlDocument(name, node, text[begin : node.start_mark.index])
        for begin, node in zip(begins, nodes, strict=False)
    ]


class _Loader(yaml.BaseLoader):  # type: ignore[misc]
    """Leaves every scalar a text, and refuses aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"'*{event.anchor}' refers to another place; write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


def _compose(text: str, name: str) -> list[yaml.Node]:
    """The text's documents, by libyaml, which is fourteen times as fast, where both readers read it alike.

    The other one tells what is wrong with it, and reads what holds tabs or may hold an alias.
    """
    if yaml.__with_libyaml__ and not ("\t" in text or "\ufeff" in text or ("&" in text and "*" in text)):
        with suppress(yaml.YAMLError):
            if nodes := list(yaml.compose_all(text, yaml.CBaseLoader)):
                return nodes

    def fault(line: int, message: str) -> DocumentError:
        return DocumentError([Fault(name, line, message)])

    try:
        nodes = list(yaml.compose_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" ({error.context})" if error.context else ""
        raise fault(mark.line + 1 if mark else 1, f"{error.problem}{context}") from None
    except yaml.YAMLError as error:
        raise fault(1, f"is no YAML: {error}") from None
    except RecursionError:
        raise fault(1, "is nested too deeply") from None
    if not nodes:
        raise fault(1, "is empty; a file holds one document")
    return nodes


class _Scalar(NamedTuple):
    """A scalar without quotes, of which the field that it stands in says what it is."""

    text: str


class _Reading:
    """One file on its way from nodes to values: notes the line of each field, and what it could not use."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: Lines = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: rules.Path) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        match node:
            case yaml.MappingNode():
                return self._fields(node, path)
            case yaml.SequenceNode():
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            case _:
                text = self._text(node, path)
                return text if node.style else _Scalar(text)

    def typed(self, value: object, kind: Any, path: rules.Path) -> object:
        """The value with its scalars as what is wanted there."""
        kind = required(kind, value)
        container = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        match value:
            case _Scalar(text):
                plain = _plain(text)
                if plain is not None and (container is str or get_origin(container) is Literal):
                    return text
                if _is_percentage(container) and isinstance(plain, float) and plain.is_integer():
                    return int(plain)
                if container is Any and (fault := _digits_fault(text)):
                    self._fault(self.lines[path], path, fault)
                return plain
            case dict():
                kinds: dict[str, Any] = {}
                if isinstance(container, type) and issubclass(container, msgspec.Struct):
                    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(container)}
                of_items = get_args(container)[1] if get_origin(container) is dict else Any
                return {
                    name: self.typed(item, kinds.get(name, of_items), (*path, name)) for name, item in value.items()
                }
            case list():
                of_items = get_args(container)[0] if get_origin(container) is tuple else Any
                return [self.typed(item, of_items, (*path, index)) for index, item in enumerate(value)]
        return value

    def _fields(self, node: yaml.MappingNode, path: rules.Path) -> dict[str, object]:
        fields: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._fault(line, path, "a list or a group of fields is no name of a field; write a text")
                continue
            name = self._text(key, path)
            place = (*path, name)
            if name in fields:
                self._fault(line, place, f"stands in line {self.lines[place]} already; keep one of the two")
                continue
            self.lines[place] = line
            fields[name] = self.value(value, place)
        return fields

    def _text(self, node: yaml.ScalarNode, path: rules.Path) -> str:
        """The text, in which the two escapes that JSON writes for one character are that character."""
        text: str = node.value
        if text.isascii() or half_fault(text) is None:
            return text
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if fault := half_fault(text):
            self._fault(node.start_mark.line + 1, path, fault)
            return text.encode("utf-8", "replace").decode()
        return text

    def _fault(self, line: int, path: rules.Path, message: str) -> None:
        self.faults.append(Fault(self.file, line, message, path_text(path)))


def _is_percentage(container: Any) -> bool:
    """Whether a whole number and one with decimal places are told apart there: 1e1 is 10."""
    return get_origin(container) is Union or isinstance(container, UnionType)


def _plain(text: str) -> object:
    """A scalar without quotes, by the core schema of YAML 1.2 (its infinities and NaN, which JSON lacks, are texts)."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if len(text) <= MOST_DIGITS and re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _digits_fault(text: str) -> str | None:
    """Why a scalar without quotes that may be anything would lose some of its digits; None: it doesn't."""
    if not _FLOAT.fullmatch(text):
        return None
    value = _plain(text)
    may_be_a_text = re.match(r"\+|-?0[0-9]|.*\.[0-9]+0$", text) is not None
    return digits_fault(text, value if isinstance(value, int | float) else math.inf, may_be_a_text)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes every text that would be read as something else."""


def _represent(dumper: _Dumper, text: str) -> yaml.Node:
    style = None if text == _plain(text) and _digits_fault(text) is None else "'"
    if not _BREAKS.isdisjoint(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def document_text(definition: Definition) -> str:
    """The definition as YAML that is read as the same."""
    if isinstance(definition, Cohort) and definition.ids:  # the library takes seconds for very many
        return f"{_written(msgspec.structs.replace(definition, ids=()))}ids:\n{''.join(map(_item, definition.ids))}"
    return _written(definition)


def _item(text: str) -> str:
    is_plain = _WORD.fullmatch(text) and _plain(text) == text
    return f"- {text}\n" if is_plain else _written((text,))


def _written(value: object) -> str:
    built = msgspec.to_builtins(value)
    written: str = yaml.dump(built, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return written
