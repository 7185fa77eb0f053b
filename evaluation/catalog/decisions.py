"""Decisions: which versions of a flag decided what becomes of it, and over which run."""

from typing import Literal, get_args

import msgspec

from evaluation.catalog.history import DocumentVersion, History, decode_spec
from evaluation.catalog.in_force import winner_of
from schemas.catalog import FlagState
from schemas.plan import AUTHOR

DecidingStep = Literal["rollout", "rollback", "complete", "restart", "archive"]
UNDECIDED: Literal["none"] = "none"
OUTCOMES = (*get_args(DecidingStep), UNDECIDED)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision: the version that made it, by whom and why, and the `run` that it ended, or the last one by then.

    `time` is the append time (ms UTC); `variant` is a roll-out's. `by_plan`: the flag's plan made it by itself, and
    `noted` the look on which it rests, if there was one.
    """

    step: DecidingStep
    variant: str | None
    version: int
    author: str
    reason: str
    time: int
    run: str | None
    by_plan: bool
    noted: int | None


class Decisions:
    """Every flag's decisions, oldest first. `read` goes on where it was in the history."""

    def __init__(self) -> None:
        self.of: dict[str, list[Decided]] = {}  # by flag
        self._states: dict[str, FlagState] = {}  # by flag, as far as it was read
        self._read = 0

    def read(self, history: History) -> None:
        """Take the versions that came since."""
        for version in history.versions[self._read :]:
            if version.document.kind == "flag":
                self._take(version)
        self._read = len(history.versions)

    def _take(self, version: DocumentVersion) -> None:
        key = version.document.key
        before, after = self._states.get(key), decode_spec(version.document, FlagState)
        self._states[key] = after
        if before and (decided := _decided(before, after, version)):
            self.of.setdefault(key, []).append(decided)


def _decided(before: FlagState, after: FlagState, version: DocumentVersion) -> Decided | None:
    step = _step(before, after)
    if step is None:
        return None
    document = version.document
    evidence = after.progress.evidence if after.progress else None
    return Decided(
        step=step,
        variant=winner_of(after.rolled_out) if step == "rollout" and after.rolled_out else None,
        version=document.version,
        author=document.author,
        reason=document.reason,
        time=version.append_time,
        run=before.runs[-1].key if before.runs else None,
        by_plan=document.author == AUTHOR,
        noted=evidence.look if evidence and evidence.version == document.version else None,
    )


def _step(before: FlagState, after: FlagState) -> DecidingStep | None:
    if after.removed != before.removed:
        return "archive" if after.removed == "archived" else None
    if after.rolled_out and (before.rolled_out is None or winner_of(before.rolled_out) != winner_of(after.rolled_out)):
        return "rollout"
    if after.status == "running":
        return "restart" if before.runs and len(after.runs) > len(before.runs) else None
    if after.status == before.status:
        return None
    return "rollback" if after.status == "rolled back" else "complete" if after.status == "complete" else None
