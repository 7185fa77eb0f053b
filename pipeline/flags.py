"""Flags in a producer's own process, without a server: load them, evaluate a user.

flags = load_flags("flags.json")
flags.evaluate({"user_id": "ann", "user_properties": {"plan": "pro"}})
"""

from pathlib import Path

from evaluation.assignment.configs import flags_in_force
from evaluation.assignment.engine import Flags, Problem
from evaluation.catalog import Catalog, FlagInForce, InForce, RunInForce
from evaluation.lifecycle import allocation_of
from pipeline.documents import read_sound
from pipeline.errors import PeekproofError
from schemas.catalog import Flag


def load_flags(path: str | Path) -> Flags:
    """The flags of a JSON array of flag configurations, or of a directory of documents.

    Of documents every flag counts as running, as in its first run, bucketed with its key as salt; those that cannot be
    used are `problems`. Raises PeekproofError where nothing can be read.
    """
    path = Path(path)
    if path.is_dir():
        return _of_documents(path)
    try:
        return Flags.read(path.read_bytes())
    except OSError as error:
        raise PeekproofError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PeekproofError(f"'{path}': {error}") from None


def _of_documents(directory: Path) -> Flags:
    documents, faults = read_sound(directory)
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
