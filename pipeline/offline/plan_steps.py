"""Plan steps: is everything that plans did by themselves what the archived log says that they had to do?

A version of a flag's document that its plan wrote names the brokers' time and the look on which it rests. The question
is asked once more, of the flag as it stood before that version, at that time, by that look.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from evaluation.catalog.history import DocumentVersion, History, decode_spec
from evaluation.plans.acts import act_of, evidence_of, told_act
from evaluation.plans.question import ask
from evaluation.significance.look import decode_look
from pipeline.kafka.set_aside import SetAside
from pipeline.recovery.folding import archived_catalog
from pipeline.storage.archived import chain, partitions, read
from schemas.catalog import FlagState
from schemas.decoding import decode
from schemas.look import Look, LookHead, RunKey
from schemas.plan import Evidence
from schemas.topics import RESULTS

StepOutcome = Literal[
    "explained",
    "different",
    "not yet archived",  # its look is in an interval that is still open
    "lost to the archive",  # which holds later looks at the run, but not this one
]


class ExplainedStep(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one version that a plan wrote: what it `did`, and what the plan `says`, where that differs."""

    flag: str
    version: int
    did: str
    run: str | None
    look: int | None
    outcome: StepOutcome
    says: str | None = None


class _Step(NamedTuple):
    """A version that a plan wrote, the one before it, and what both say."""

    version: DocumentVersion
    before: FlagState
    after: FlagState
    evidence: Evidence

    @property
    def look(self) -> tuple[RunKey, int] | None:
        """The look on which it rests, if it does."""
        if self.evidence.run is None or self.evidence.look is None:
            return None
        return (self.version.document.key, self.evidence.run), self.evidence.look


def explained_steps(directory: Path, aside: SetAside | None = None) -> list[ExplainedStep]:
    """Every version that plans wrote, in the order of the catalog.

    Raises PeekproofError for an archive that doesn't reach back to the catalog's beginning, or is damaged.
    """
    history = archived_catalog(directory)
    steps = list(_steps(history))
    looks = _Looks({step.look for step in steps if step.look})
    if looks.needed:
        looks.read(directory, aside or SetAside())
    return [_explained(history, step, looks) for step in steps]


class _Looks:
    """Of the archived looks those that are needed, as readers take them (see schemas/look.py)."""

    def __init__(self, needed: set[tuple[RunKey, int]]) -> None:
        self.needed = needed
        self.found: dict[tuple[RunKey, int], Look] = {}
        self.last: dict[RunKey, int] = {}

    def read(self, directory: Path, aside: SetAside) -> None:
        """Find them."""
        for number in partitions(directory, RESULTS):
            files = chain(directory, RESULTS, number)
            for record in read(directory, RESULTS, number, files[-1].end if files else 0):
                with aside.unless_ours(RESULTS, number, record.offset):
                    self._take(record.value)

    def _take(self, value: bytes | None) -> None:
        head = decode(value, LookHead)
        run: RunKey = (head.experiment, head.run)
        if head.look <= self.last.get(run, 0):
            return
        if (run, head.look) in self.needed:
            self.found[run, head.look] = decode_look(value)
        self.last[run] = head.look


def _steps(history: History) -> Iterator[_Step]:
    before: dict[str, FlagState] = {}
    for version in history.versions:
        document = version.document
        if document.kind != "flag":
            continue
        state = decode_spec(document, FlagState)
        if (evidence := evidence_of(document)) and document.key in before:
            yield _Step(version, before[document.key], state, evidence)
        before[document.key] = state


def _explained(history: History, step: _Step, looks: _Looks) -> ExplainedStep:
    key, evidence = step.version.document.key, step.evidence
    did = act_of(step.before, step.after)
    explained = ExplainedStep(
        flag=key,
        version=step.version.document.version,
        did=told_act(did) if did else "nothing that a plan does",
        run=evidence.run,
        look=evidence.look,
        outcome="explained",
    )
    if step.look and step.look not in looks.found:
        run, number = step.look
        outcome: StepOutcome = "lost to the archive" if looks.last.get(run, 0) >= number else "not yet archived"
        return msgspec.structs.replace(explained, outcome=outcome)
    flag = history.at_offset(step.version.offset).flags[key]
    said = ask(flag, looks.found[step.look] if step.look else None, evidence.time)
    if did is not None and said.act == did:
        return explained
    says = f"{told_act(said.act)}: {said.reason}" if said.act else f"do nothing: {said.reason}"
    return msgspec.structs.replace(explained, outcome="different", says=says)
