"""Documents: the YAML files of a directory, what is wrong with them, alone or together, and where that stands."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from evaluation.catalog.answerable import answer_notes, answer_violations, case_violations
from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.notification_rules import notification_violations
from evaluation.catalog.plan_rules import calendar_violations, plan_violations
from evaluation.catalog.references import Known, cohort_violations, group_violations, reference_violations
from evaluation.catalog.remarks import named_by, remarks_of
from evaluation.catalog.rules import flag_violations
from evaluation.catalog.source_rules import source_violations
from evaluation.catalog.template_rules import template_violations
from evaluation.flags.graph import needed_for
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.folders import FOLDERS, files_in, is_yaml, unread
from pipeline.catalog.id_lists import read_ids
from pipeline.catalog.types import kind_of, length_violations, type_violations
from pipeline.catalog.yaml_file import YamlFile, read_yaml
from pipeline.errors import PeekproofError
from schemas.brief import Brief
from schemas.catalog import Cohort, Definition, Deployment, Flag, Group, Metric, Template
from schemas.notification import NotificationRule
from schemas.source import ForeignSource

Written_co = TypeVar("Written_co", bound=Definition, covariant=True)
MOST_TOLD = 10  # faults of one list of ids


@dataclass(frozen=True, slots=True)
class FileDefinition(Generic[Written_co]):
    """A definition and the file that it stands in."""

    definition: Written_co
    file: YamlFile


@dataclass(frozen=True, slots=True)
class Documents:
    """Every document of a directory, by key, and what is worth a word although it is no fault."""

    metrics: dict[str, FileDefinition[Metric]]
    flags: dict[str, FileDefinition[Flag]]
    groups: dict[str, FileDefinition[Group]]
    cohorts: dict[str, FileDefinition[Cohort]]
    deployments: dict[str, FileDefinition[Deployment]]
    notifications: dict[str, FileDefinition[NotificationRule]]
    templates: dict[str, FileDefinition[Template]]
    briefs: dict[str, FileDefinition[Brief]]
    sources: dict[str, FileDefinition[ForeignSource]]
    notes: tuple[Fault, ...] = ()

    def __iter__(self) -> Iterator[FileDefinition[Definition]]:
        yield from self.metrics.values()
        yield from self.flags.values()
        yield from self.groups.values()
        yield from self.cohorts.values()
        yield from self.deployments.values()
        yield from self.notifications.values()
        yield from self.templates.values()
        yield from self.briefs.values()
        yield from self.sources.values()


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
    metrics = {key: metric.definition for key, metric in documents.metrics.items()}
    named = named_by(each.definition for each in documents)
    return sorted(
        remark for each in documents for remark in each.file.faults(remarks_of(each.definition, metrics, named))
    )


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


def read_source(path: Path) -> ForeignSource:
    """The source of one file. Raises DocumentError for one with faults."""
    source = _read_file(path, ForeignSource)
    if faults := source.file.faults(source_violations(source.definition)):
        raise DocumentError(faults)
    return source.definition


def _read_alone(path: Path) -> tuple[Documents, list[Fault]]:
    documents = Documents({}, {}, {}, {}, {}, {}, {}, {}, {})
    try:
        source = _read_file(path, Flag)
    except DocumentError as error:
        return documents, error.faults
    documents = replace(documents, flags={source.definition.key: source})
    faults = source.file.faults([*flag_violations(source.definition, {}), *answer_violations(source.definition)])
    faults += source.file.faults([*plan_violations(source.definition), *calendar_violations(source.definition)])
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
    notifications = _read_folders(directory, ("notifications",), NotificationRule, faults)
    for rule in notifications.values():
        faults += rule.file.faults([*notification_violations(rule.definition), *calendar_violations(rule.definition)])
    templates = _read_folders(directory, ("templates",), Template, faults)
    for template in templates.values():
        faults += template.file.faults(template_violations(template.definition))
    briefs = _read_folders(directory, ("briefs",), Brief, faults)
    sources = _read_folders(directory, ("sources",), ForeignSource, faults)
    for source in sources.values():
        faults += source.file.faults(source_violations(source.definition))
    groups = _read_folders(directory, ("groups",), Group, faults)
    for group in groups.values():
        faults += group.file.faults(answer_violations(group.definition))
    flags = _read_folders(directory, ("experiments", "flags"), Flag, faults)
    notes += _unnamed_lists(directory, cohorts)
    documents = Documents(
        metrics, flags, groups, cohorts, deployments, notifications, templates, briefs, sources, tuple(sorted(notes))
    )
    if not any(True for _ in documents) and not faults:
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
        faults += flag.file.faults([*plan_violations(flag.definition), *calendar_violations(flag.definition)])
    return documents, faults


def _without(documents: Documents, faults: Iterable[Fault]) -> Documents:
    """The documents in whose files nothing is wrong."""
    files = {fault.file for fault in faults}

    def sound(sources: dict[str, FileDefinition[Written_co]]) -> dict[str, FileDefinition[Written_co]]:
        return {key: source for key, source in sources.items() if source.file.name not in files}

    return Documents(
        sound(documents.metrics),
        sound(documents.flags),
        sound(documents.groups),
        sound(documents.cohorts),
        sound(documents.deployments),
        sound(documents.notifications),
        sound(documents.templates),
        sound(documents.briefs),
        sound(documents.sources),
        documents.notes,
    )


def _key_faults(documents: Documents) -> Iterator[Fault]:
    """Two documents of one space of names whose keys differ by case alone."""
    spaces: tuple[list[FileDefinition[Any]], ...] = (
        [*documents.flags.values(), *documents.groups.values()],
        [*documents.metrics.values()],
        [*documents.cohorts.values()],
        [*documents.deployments.values()],
        [*documents.notifications.values()],
        [*documents.templates.values()],
        [*documents.briefs.values()],
        [*documents.sources.values()],
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


def _with_ids(cohort: FileDefinition[Cohort], directory: Path, faults: list[Fault]) -> FileDefinition[Cohort]:
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
    faults += cohort.file.faults(length_violations(listed, kind_of(Cohort, "ids"), ("file",)))
    return FileDefinition(msgspec.structs.replace(cohort.definition, ids=tuple(listed)), cohort.file)


def _unnamed_lists(directory: Path, cohorts: Mapping[str, FileDefinition[Cohort]]) -> list[Fault]:
    """What lies beside cohorts and is the list of none."""
    named = {
        (Path(each.file.name).parent / each.definition.file).resolve()
        for each in cohorts.values()
        if each.definition.file
    }
    lists = [path for path in files_in(directory / "cohorts") if not is_yaml(path) and path.resolve() not in named]
    return [Fault(str(path), 1, "is not read: no cohort names it as its `file`") for path in lists]


def _read_folders(
    directory: Path, folders: tuple[str, ...], kind: type[Written_co], faults: list[Fault]
) -> dict[str, FileDefinition[Written_co]]:
    sources: dict[str, FileDefinition[Written_co]] = {}
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


def _read_file(path: Path, kind: type[Written_co]) -> FileDefinition[Written_co]:
    value, file, faults = read_yaml(path, kind)
    if faults := faults + file.faults(type_violations(value, kind)):
        raise DocumentError(faults)
    return FileDefinition(msgspec.convert(value, kind), file)
