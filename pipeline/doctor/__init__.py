"""Doctor: one look at an installation: what is well, what is wrong, and the command that goes on.

Each check stands alone and says what it could not see; together they take a few seconds, and never longer than
`PATIENCE`. They change nothing, and use the checks that refuse at a start, so that they say what a start would.
"""

import threading
import traceback
from collections.abc import Callable, Iterable
from time import monotonic

from pipeline.doctor import (
    archive,
    brokers,
    catalog,
    checkpoints,
    disk,
    identities,
    keys,
    recounts,
    snapshot,
    stages,
    topics,
    versions,
)
from pipeline.doctor.finding import Finding, Status
from pipeline.doctor.sight import Sight, UnseenError
from pipeline.errors import PeekproofError
from pipeline.settings import Settings

PATIENCE = 15.0  # seconds

Check = Callable[[Sight], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "brokers": brokers.check,
    "topics": topics.check,
    "identities": identities.check,
    "catalog": catalog.check,
    "stages": stages.check,
    "checkpoints": checkpoints.check,
    "archive": archive.check,
    "recounts": recounts.check,
    "snapshot": snapshot.check,
    "disk": disk.check,
    "keys": keys.check,
    "versions": versions.check,
}

WORST: tuple[Status, ...] = ("wrong", "unknown", "warning", "ok")


def examine(settings: Settings, patience: float = PATIENCE) -> list[Finding]:
    """What every check found, in the order of `CHECKS`. Raises nothing for what is wrong with the deployment."""
    # Whole before threads begin: its modules import each other, and threads that load some at once lock each other out.
    import kafka.admin  # noqa: F401, PLC0415 (slow to import)

    sight = Sight(settings)
    checking = [_Checking(area, check, sight) for area, check in CHECKS.items()]
    deadline = monotonic() + patience
    for each in checking:
        each.start()
    for each in checking:
        each.join(max(0.0, deadline - monotonic()))
    findings = [finding for each in checking for finding in each.told(patience)]
    if not any(each.is_alive() for each in checking):
        sight.close()
    return findings


def worst(findings: Iterable[Finding]) -> Status:
    """The status of all of them."""
    return min((finding.status for finding in findings), key=WORST.index, default="ok")


class _Checking(threading.Thread):
    """One check, in a thread that nobody waits for when it takes too long."""

    def __init__(self, area: str, check: Check, sight: Sight) -> None:
        super().__init__(name=f"doctor {area}", daemon=True)
        self._area = area
        self._check = check
        self._sight = sight
        self._findings: list[Finding] = []

    def run(self) -> None:
        """What was found before something could not be seen is told too."""
        try:
            for finding in self._check(self._sight):
                self._findings.append(finding)
        except (PeekproofError, OSError) as error:
            self._findings.append(Finding(self._area, "unknown", str(error)))
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {place.name}, line {place.lineno} of {place.filename}"
            self._findings.append(Finding(self._area, "unknown", f"the check itself failed: {error} ({where})"))

    def told(self, patience: float) -> list[Finding]:
        """Its findings, and that it was not done, if so."""
        found = [*self._findings]
        if self.is_alive():
            found.append(Finding(self._area, "unknown", f"no answer within {patience:.0f} s"))
        return found


__all__ = ["CHECKS", "PATIENCE", "Finding", "UnseenError", "examine", "worst"]
