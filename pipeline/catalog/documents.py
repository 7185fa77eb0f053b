"""Documents: YAML files, read with line numbers, so that an error says where it is.

Scalars mean what YAML 1.2 says, as in editors: `on` and `off` are texts, dates too. Where a text is wanted they are one
as they are written, digit for digit; where anything may stand, what would lose digits is refused. Anchors and merges
are refused.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from evaluation.catalog import rules
from evaluation.catalog.answerable import answer_notes, answer_violations, case_violations
from evaluation.catalog.exact_json import MOST_DIGITS, digits_fault
from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.metric_rules import remarks as metric_remarks
from evaluation.catalog.references import Known, cohort_violations, group_violations, reference_violations
from evaluation.catalog.rules import Violation, did_you_mean, flag_violations, goal_remarks, path_text
from evaluation.flags.graph import needed_for
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.folders import FOLDERS, files_in, is_yaml, unread
from pipeline.catalog.id_lists import read_ids
from pipeline.errors import PeekproofError
from schemas.catalog import Cohort, Definition, Deployment, Flag, Group, Metric
from schemas.numbers import DECIMAL

Written_co = TypeVar("Written_co", bound=Definition, covariant=True)
Lines = dict[rules.Path, int]  # the line of each field, counted from 1
MOST_TOLD = 10  # faults of one list of ids
_FLOAT = re.compile(DECIMAL)


@dataclass(frozen=True, slots=True)
class File:
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
        return Fault(self.name, self.line(path), f"{path_text(path)}: {message}" if path else message)

    def faults(self, violations: Iterable[Violation]) -> list[Fault]:
        """The violations as faults of this file."""
        return [self.fault(violation.path, violation.message) for violation in violations]


@dataclass(frozen=True, slots=True)
class Source(Generic[Written_co]):
    """A definition and the file that it stands in."""

    definition: Written_co
    file: File


@dataclass(frozen=True, slots=True)
class Documents:
    """Every document of a directory, by key, and what is worth a word although it is no fault."""

    metrics: dict[str, Source[Metric]]
    flags: dict[str, Source[Flag]]
    groups: dict[str, Source[Group]]
    cohorts: dict[str, Source[Cohort]]
    deployments: dict[str, Source[Deployment]]
    notes: tuple[Fault, ...] = ()


def read_documents(directory: Path) -> Documents:
    """Read the YAML files in the folders below, however deep. Raises DocumentError with all their faults."""
    documents, faults = _read(directory)
    if not faults:  # of what can't be used nobody knows who names it rightly
        faults += [fault for faults_of in _REFERENCES for fault in faults_of(documents)]
    notes = _notes(_without(documents, faults), _known(documents))
    if faults:
        raise DocumentError(faults, notes)
    return replace(documents, notes=tuple(notes))


def _notes(documents: Documents, known: Known) -> list[Fault]:
    told = [
        note for flag in documents.flags.values() for note in flag.file.faults(answer_notes(flag.definition, known))
    ]
    return sorted([*documents.notes, *told, *remarks(documents)])


def remarks(documents: Documents) -> list[Fault]:
    """What is no fault, but may not be as it was meant."""
    known = {key: metric.definition for key, metric in documents.metrics.items()}
    of_metrics = [
        metric.file.fault(("window",), remark)
        for metric in documents.metrics.values()
        for remark in metric_remarks(metric.definition, known)
    ]
    of_goals = [
        flag.file.fault(remark.path, remark.message)
        for flag in documents.flags.values()
        for remark in goal_remarks(flag.definition)
    ]
    return sorted(of_metrics + of_goals)


def read_sound(directory: Path) -> tuple[Documents, list[Fault]]:
    """Those documents of the folders below that can be used without the others, and what is wrong with the others."""
    documents, faults = _read(directory)
    documents = _without(documents, faults)
    for faults_of in _REFERENCES:
        found = list(faults_of(documents))
        documents = _without(documents, found)
        faults += found
    return documents, sorted(faults)


def read_flag(path: Path) -> tuple[Documents, list[Fault]]:
    """The flag of one file, beside what it names of the documents among which it lies, and what is wrong with it."""
    directory = next((each.parent for each in path.resolve().parents if each.name in FOLDERS), None)
    if directory is None:
        return _read_alone(path)
    documents, faults = read_sound(directory)
    faults = [fault for fault in faults if Path(fault.file).resolve() == path.resolve()]
    keys = [key for key, flag in documents.flags.items() if Path(flag.file.name).resolve() == path.resolve()]
    if not keys and not faults:
        raise PeekproofError(f"'{path}' holds no flag; name a file of flags/ or experiments/")
    needed = needed_for(keys, {key: tuple(flag.definition.prerequisites) for key, flag in documents.flags.items()})
    flags = {key: flag for key, flag in documents.flags.items() if key in needed}
    named = {each.group for flag in flags.values() for each in flag.definition.groups}
    groups = {key: group for key, group in documents.groups.items() if key in named}
    return replace(documents, flags=flags, groups=groups), faults


def _read_alone(path: Path) -> tuple[Documents, list[Fault]]:
    documents = Documents({}, {}, {}, {}, {})
    try:
        source = _read_file(path, Flag)
    except DocumentError as error:
        return documents, error.faults
    documents = replace(documents, flags={source.definition.key: source})
    faults = source.file.faults([*flag_violations(source.definition, {}), *answer_violations(source.definition)])
    faults += _flag_faults(documents)
    return _without(documents, faults), faults


def _read(directory: Path) -> tuple[Documents, list[Fault]]:
    """What can be read, and what is wrong with each file alone, or with the metrics that it names."""
    if not directory.is_dir():
        raise PeekproofError(f"'{directory}' is no directory; name the one that holds metrics/ and experiments/")
    faults, notes = unread(directory)
    metrics = _read_folders(directory, ("metrics",), Metric, faults)
    unreadable_metrics = any(Path(fault.file).is_relative_to(directory / "metrics") for fault in faults)
    cohorts = _read_folders(directory, ("cohorts",), Cohort, faults)
    for key, cohort in cohorts.items():
        faults += cohort.file.faults(answer_violations(cohort.definition))
        cohorts[key] = _with_ids(cohort, directory, faults)
    deployments = _read_folders(directory, ("deployments",), Deployment, faults)
    groups = _read_folders(directory, ("groups",), Group, faults)
    for group in groups.values():
        faults += group.file.faults(answer_violations(group.definition))
    flags = _read_folders(directory, ("experiments", "flags"), Flag, faults)
    notes += _unnamed_lists(directory, cohorts)
    documents = Documents(metrics, flags, groups, cohorts, deployments, tuple(sorted(notes)))
    if not (metrics or cohorts or deployments or groups or flags or faults):
        raise PeekproofError(f"'{directory}' holds no documents; put YAML files into its metrics/ and experiments/")
    known: dict[str, Metric | None] = {key: metric.definition for key, metric in metrics.items()}
    # A metric whose file can't be read has its own fault already: don't report each goal or ratio that names it.
    for metric in metrics.values():
        parts = [key for key in (metric.definition.numerator, metric.definition.denominator) if key]
        assumed = dict.fromkeys(parts if unreadable_metrics else [])
        faults += metric.file.faults(metric_violations(metric.definition, assumed | known))
        faults += metric.file.faults(answer_violations(metric.definition))
    for flag in flags.values():
        goals = [goal.metric for goal in flag.definition.metrics] if unreadable_metrics else []
        faults += flag.file.faults(flag_violations(flag.definition, dict.fromkeys(goals) | known))
        faults += flag.file.faults(answer_violations(flag.definition))
    return documents, faults


def _without(documents: Documents, faults: Iterable[Fault]) -> Documents:
    """The documents in whose files nothing is wrong."""
    files = {fault.file for fault in faults}

    def sound(sources: dict[str, Source[Written_co]]) -> dict[str, Source[Written_co]]:
        return {key: source for key, source in sources.items() if source.file.name not in files}

    return Documents(
        sound(documents.metrics),
        sound(documents.flags),
        sound(documents.groups),
        sound(documents.cohorts),
        sound(documents.deployments),
        documents.notes,
    )


def definition_of(value: object, kind: type[Written_co]) -> Written_co:
    """The definition that plain values (of JSON, of a command) describe. Raises PeekproofError with every fault."""
    if violations := list(_type_violations(value, kind, ())):
        raise PeekproofError("\n".join(map(str, violations)))
    return msgspec.convert(value, kind)


def _key_faults(documents: Documents) -> Iterator[Fault]:
    """Two documents of one space of names whose keys differ by case alone."""
    spaces: tuple[list[Source[Any]], ...] = (
        [*documents.flags.values(), *documents.groups.values()],
        [*documents.metrics.values()],
        [*documents.cohorts.values()],
        [*documents.deployments.values()],
    )
    for sources in spaces:
        by_key: dict[str, list[str]] = {}
        for source in sources:
            key = source.definition.key
            alike = by_key.setdefault(key.lower(), [])
            yield from source.file.faults(case_violations(key, alike))
            alike.append(key)


def _cohort_faults(documents: Documents) -> Iterator[Fault]:
    for cohort in documents.cohorts.values():
        yield from cohort.file.faults(cohort_violations(cohort.definition))


def _group_faults(documents: Documents) -> Iterator[Fault]:
    for group in documents.groups.values():
        yield from group.file.faults(group_violations(group.definition, _known(documents)))


def _flag_faults(documents: Documents) -> Iterator[Fault]:
    for flag in documents.flags.values():
        yield from flag.file.faults(reference_violations(flag.definition, _known(documents)))


_REFERENCES = (_key_faults, _cohort_faults, _group_faults, _flag_faults)  # those that are named first


def _known(documents: Documents) -> Known:
    return Known(
        flags={key: flag.definition for key, flag in documents.flags.items()},
        groups={key: group.definition for key, group in documents.groups.items()},
        cohorts={key: cohort.definition for key, cohort in documents.cohorts.items()},
        deployments=documents.deployments.keys(),
    )


def _with_ids(cohort: Source[Cohort], directory: Path, faults: list[Fault]) -> Source[Cohort]:
    """The cohort with the ids of its file (see id_lists.py), each once.

    What is published may come from below the documents' directory only, whoever wrote them, and wherever links lead.
    """
    name, ids = cohort.definition.file, cohort.definition.ids
    if name is None:
        return cohort
    if ids:
        faults.append(cohort.file.fault(("ids",), "would be replaced by those of the file; keep one of the two"))
    path = Path(cohort.file.name).parent / name
    try:
        if not path.resolve().is_relative_to(directory.resolve()):
            outside = f"'{name}' leads out of '{directory}'; put the file beside this one"
            faults.append(cohort.file.fault(("file",), outside))
            return cohort
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"byte {error.start} is not UTF-8"
        faults.append(cohort.file.fault(("file",), f"'{path}' cannot be read: {reason}"))
        return cohort
    read = list(read_ids(text, path.suffix, cohort.definition.unit))
    told = [f"{path}:{line}: {fault}" for line, _, fault in read if fault]
    if len(told) > MOST_TOLD:
        told[MOST_TOLD:] = [f"and {len(told) - MOST_TOLD} more lines of '{path}'"]
    faults += [cohort.file.fault(("file",), each) for each in told]
    listed: list[object] = [*dict.fromkeys(name for _, name, _ in read)]
    faults += cohort.file.faults(_length_violations(listed, _kind_of(Cohort, "ids"), ("file",)))
    return Source(msgspec.structs.replace(cohort.definition, ids=tuple(listed)), cohort.file)


def _unnamed_lists(directory: Path, cohorts: Mapping[str, Source[Cohort]]) -> list[Fault]:
    """What lies beside cohorts and is the list of none."""
    named = {
        (Path(each.file.name).parent / each.definition.file).resolve()
        for each in cohorts.values()
        if each.definition.file
    }
    lists = [path for path in files_in(directory / "cohorts") if not is_yaml(path) and path.resolve() not in named]
    return [Fault(str(path), 1, "is not read: no cohort names it as its `file`") for path in lists]


def _kind_of(kind: type[msgspec.Struct], name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(kind) if field.name == name)


def _read_folders(
    directory: Path, folders: tuple[str, ...], kind: type[Written_co], faults: list[Fault]
) -> dict[str, Source[Written_co]]:
    sources: dict[str, Source[Written_co]] = {}
    for path in (path for folder in folders for path in files_in(directory / folder) if is_yaml(path)):
        try:
            source = _read_file(path, kind)
        except DocumentError as error:
            faults += error.faults
            continue
        key = source.definition.key
        if key in sources:
            other = sources[key].file.name
            faults.append(source.file.fault(("key",), f"'{key}' is the key of {other} too; a key names one document"))
        else:
            sources[key] = source
    return sources


def _read_file(path: Path, kind: type[Written_co]) -> Source[Written_co]:
    reading = _Reading(str(path))
    value = reading.typed(reading.value(_compose(path), ()), kind, ())
    file = File(str(path), reading.lines)
    if faults := reading.faults + file.faults(_type_violations(value, kind, ())):
        raise DocumentError(faults)
    return Source(msgspec.convert(value, kind), file)


BREAKS = frozenset("\x85\u2028\u2029\ufeff")  # that a reader takes for the end or the beginning of a line


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes every text that would be read as something else."""


def _represent(dumper: _Dumper, text: str) -> yaml.Node:
    style = None if text == _plain(text) and _digits_fault(text) is None else "'"
    if not BREAKS.isdisjoint(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def document_text(definition: Definition) -> str:
    """The definition as YAML that is read as the same."""
    value = msgspec.to_builtins(definition)
    written: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return written


class _Loader(yaml.BaseLoader):  # type: ignore[misc]
    """Leaves every scalar a text, and refuses aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"'*{event.anchor}' refers to another place; write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


def _compose(path: Path) -> yaml.Node:
    def fault(line: int, message: str) -> DocumentError:
        return DocumentError([Fault(str(path), line, message)])

    try:
        nodes = list(yaml.compose_all(path.read_text(encoding="utf-8"), _Loader))
    except OSError as error:
        raise fault(1, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise fault(1, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
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
    if len(nodes) > 1:
        raise fault(nodes[1].start_mark.line + 1, "a second document begins here; put it into a file of its own")
    return nodes[0]


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
                return node.value if node.style else _Scalar(node.value)

    def typed(self, value: object, kind: Any, path: rules.Path) -> object:
        """The value with its scalars as what is wanted there."""
        kind = _required(kind)
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
                    kinds = {field.name: field.type for field in msgspec.structs.fields(container)}
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
            place = (*path, key.value)
            if key.value in fields:
                self._fault(line, place, f"stands in line {self.lines[place]} already; keep one of the two")
                continue
            self.lines[place] = line
            fields[key.value] = self.value(value, place)
        return fields

    def _fault(self, line: int, path: rules.Path, message: str) -> None:
        self.faults.append(Fault(self.file, line, f"{path_text(path)}: {message}" if path else message))


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


def _required(kind: Any) -> Any:
    """What a field must be that is there: the documents know optional fields only."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    return kind


def _type_violations(value: object, kind: Any, path: rules.Path) -> Iterator[Violation]:
    if value is None and _required(kind) is not kind:
        return
    kind = _required(kind)
    container = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if isinstance(value, dict):
            yield from _field_violations(value, kind, path)
        else:
            names = ", ".join(field.name for field in msgspec.structs.fields(kind))
            yield Violation(path, f"{_shown(value)} is not allowed; it has fields: {names}")
    elif get_origin(container) is tuple:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _type_violations(item, get_args(container)[0], (*path, index))
            yield from _length_violations(value, kind, path)
        else:
            yield Violation(path, f"{_shown(value)} is not allowed; it must be a list: write [{_shown(value)}]")
    elif get_origin(container) is dict:
        if isinstance(value, dict):
            key_kind, value_kind = get_args(container)
            for key, item in value.items():
                if not _accepts(key, key_kind):
                    yield Violation((*path, key), f"'{key}' is not allowed; a name here must be {_rule(key_kind)}")
                yield from _type_violations(item, value_kind, (*path, key))
        else:
            yield Violation(path, f"{_shown(value)} is not allowed; it must be a group of names and values")
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            is_scalar = isinstance(value, bool | int | float)
            quote = ", in quotes" if is_scalar and _accepts(str(value), kind) else ""
            yield Violation(path, f"{_shown(value)} is not allowed; it must be {_rule(kind)}{quote}")


def _length_violations(value: list[object], kind: Any, path: rules.Path) -> Iterator[Violation]:
    for meta in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if meta.min_length is not None and len(value) < meta.min_length:
            yield Violation(path, f"the list has {len(value)} items; it must have at least {meta.min_length}")
        if meta.max_length is not None and len(value) > meta.max_length:
            yield Violation(path, f"the list has {len(value)} items; it may have at most {meta.max_length}")


def _field_violations(value: dict[str, object], kind: type[msgspec.Struct], path: rules.Path) -> Iterator[Violation]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in value.keys() - fields.keys():
        yield Violation((*path, name), f"is no field of this document; {did_you_mean(name, fields)}")
    for name, known in fields.items():
        if name in value:
            yield from _type_violations(value[name], known.type, (*path, name))
        elif known.required:
            yield Violation((*path, name), f"is missing; it must be {_rule(known.type)}")


def _accepts(value: str, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _rule(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        described = [meta.description for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
        return " ".join(filter(None, described)) or _rule(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return "a list"
    return "a text" if kind is str else "a group of fields"


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a group of fields"
        case list():
            return "a list"
        case str() if len(value) > 60:
            return f"'{value[:60]}…'"
        case str():
            return f"'{value}'"
        case _:
            return msgspec.json.encode(value).decode()
