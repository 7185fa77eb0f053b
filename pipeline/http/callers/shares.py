"""Shares: links that let whoever has one read one experiment, until they expire or are revoked.

A link carries a text like a key's, of which a hash is kept. What has expired is remembered for a while, so that whoever
comes with it is told that, and by whom it was made.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Key, find, new_text
from pipeline.http.callers.private_file import PrivateFile
from schemas.catalog import Allocation, FlagState, Inclusion

DAY = 86_400_000
LONGEST_LIFE = 366 * DAY  # ms
REMEMBERED = 90 * DAY  # ms after which one that has expired is forgotten
MOST_OF_AN_EXPERIMENT = 50


class Share(Key, frozen=True, kw_only=True):
    """A link. `name` says for whom it is, `by` who made it."""

    experiment: str
    by: str
    expires: int  # ms UTC


def without_people(state: FlagState) -> FlagState:
    """A flag without the ids of those who always get a variant, and without the salts by which others' are found."""

    def anonymous(allocation: Allocation) -> Allocation:
        kept = {key: Inclusion(cohorts=each.cohorts) for key, each in allocation.inclusions.items()}
        return replace(allocation, inclusions=kept)

    variants = tuple(replace(each, users=(), devices=()) for each in state.definition.variants)
    runs = tuple(replace(run, salt="", allocations=tuple(map(anonymous, run.allocations))) for run in state.runs)
    rolled_out = anonymous(state.rolled_out) if state.rolled_out else None
    return replace(state, definition=replace(state.definition, variants=variants), runs=runs, rolled_out=rolled_out)


class ExperimentShares:
    """The links of an installation, in a file beside the keys."""

    def __init__(self, data: Path, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = clock
        self._kept: PrivateFile[list[Share]] = PrivateFile(data / "shares.json", list[Share], [])

    def find(self, text: str) -> Share | None:
        """The share of this text, be it one that has expired."""
        return find(text, {share.id: share for share in self._kept.read()})

    def is_over(self, share: Share) -> bool:
        """Whether it has expired."""
        return self._clock() >= share.expires

    def holds(self, share: Share) -> bool:
        """Whether it still opens something."""
        return not self.is_over(share) and share in self._kept.read()

    def of(self, experiment: str) -> list[Share]:
        """Those of an experiment that open something, oldest first."""
        return [share for share in self._kept.read() if share.experiment == experiment and not self.is_over(share)]

    def create(self, experiment: str, name: str, by: str, expires: int) -> tuple[Share, str]:
        """A share, and its text, which nobody can tell again. Raises PeekproofError for what it may not be."""
        now = self._clock()
        if not now < expires <= now + LONGEST_LIFE:
            raise PeekproofError(f"expires: {expires} is not within the next 366 days; give ms UTC that are")
        with self._kept.changing() as shares:
            kept = [share for share in shares if share.expires + REMEMBERED > now]
            if sum(share.experiment == experiment and not self.is_over(share) for share in kept) >= (
                MOST_OF_AN_EXPERIMENT
            ):
                raise PeekproofError(f"'{experiment}' has {MOST_OF_AN_EXPERIMENT} links; revoke one that nobody needs")
            name_of, text = new_text("share", {share.id for share in kept})
            share = Share(
                id=name_of,
                role="viewer",
                name=name,
                created=now,
                hash=sha256(text.encode()).hexdigest(),
                experiment=experiment,
                by=by,
                expires=expires,
            )
            self._kept.write([*kept, share])
        return share, text

    def revoke(self, experiment: str, name: str) -> Share | None:
        """Make one worthless, at once; None: the experiment has none of that name."""
        with self._kept.changing() as shares:
            found = next((share for share in shares if (share.experiment, share.id) == (experiment, name)), None)
            if found:
                self._kept.write([share for share in shares if share is not found])
        return found
