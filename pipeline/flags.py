"""Flags in a producer's own process, without a server: load them, evaluate a user."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from pathlib import Path

from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.in_force import Catalog, FlagInForce, InForce, RunInForce
from evaluation.catalog.lifecycle import allocation_of
from evaluation.flags.engine import Flags, Problem
from pipeline.catalog.documents import Documents, read_flag, read_sound
from pipeline.catalog.faults import Fault
from pipeline.catalog.folders import is_yaml
from pipeline.errors import PeekproofError
from schemas.catalog import Flag


def load_flags(path: str | Path) -> Flags:
    """The flags of a JSON array of flag configurations, of a directory of documents, or the one of a document.

    Of documents every flag counts as running, as in its first run, bucketed with its key as salt; those that cannot be
    used are `problems`. A configuration does not say who is in a cohort: a user brings its own, as `cohort_ids`. Raises
    PeekproofError where nothing can be read.

    For example:

        flags = load_flags("flags.json")
        flags.evaluate({"user_id": "ann", "cohort_ids": ["beta-testers"]})
    """
    path = Path(path)
    if path.is_dir():
        return _of_documents(*read_sound(path))
    if is_yaml(path) and path.is_file():
        return _of_documents(*read_flag(path))
    try:
        return Flags.read(read_text(path))
    except ValueError as error:
        raise PeekproofError(f"'{path}': {error}") from None


def read_text(path: Path) -> str:
    """A file's text: UTF-8, or UTF-16 where it begins so, as some shells write it. Raises PeekproofError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PeekproofError(f"'{path}' cannot be read: {error.strerror}") from None
    encoding = "utf-16" if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        raise PeekproofError(f"'{path}': byte {error.start} is not {encoding}; save the file as UTF-8") from None


def cohorts_asked(flags: Flags) -> dict[str, list[str]]:
    """By flag, the cohorts that its conditions compare."""
    asked: dict[str, dict[str, None]] = {}
    for config in flags.configs:
        conditions = [each for segment in config.segments for every in segment.conditions or () for each in every]
        for each in conditions:
            if each.selector[-1:] == ("cohort_ids",):
                asked.setdefault(config.key, {}).update(dict.fromkeys(each.values))
    return {key: [*cohorts] for key, cohorts in asked.items()}


def _of_documents(documents: Documents, faults: Iterable[Fault]) -> Flags:
    catalog = Catalog(
        flags={key: _running(flag.definition) for key, flag in documents.flags.items()},
        groups={key: InForce(group.definition, 1, 0) for key, group in documents.groups.items()},
        cohorts={key: InForce(cohort.definition, 1, 0) for key, cohort in documents.cohorts.items()},
    )
    problems = [Problem(Path(fault.file).stem, str(fault)) for fault in faults]
    return flags_in_force(catalog, problems)


def _running(definition: Flag) -> FlagInForce:
    run = RunInForce(
        flag=definition.key,
        key="exp-1",
        salt=definition.key,
        allocations=(allocation_of(definition, 1),),
        started=0,
        completed=None,
        since={},
        definition=definition,
        metrics={},
    )
    return FlagInForce(definition, "running", 1, 0, (run,))
