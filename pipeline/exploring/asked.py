"""Asked: how many questions a person has put to a run. What was asked again counts once.

Whoever asks often enough finds something where nothing is, whatever each answer corrects for. So it is kept, below
the data directory, and told before the tenth.

    DATA/explored/EXPERIMENT/RUN.ndjson       one line a question: who asked, what, for how many comparisons
"""

import os
from hashlib import blake2b
from pathlib import Path

import msgspec

from evaluation.exploring.question import ExploreQuestion

MANY = 10  # questions, before which it is warned


class _Line(msgspec.Struct, frozen=True, array_like=True):
    who: str
    what: str
    comparisons: int


class AskedBefore(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has asked of a run: different questions, and the comparisons in them. `warning`: be careful."""

    questions: int
    comparisons: int
    warning: str | None


class AskedQuestions:
    """The questions that were put to one run."""

    def __init__(self, data: Path, experiment: str, run: str) -> None:
        self._path = data / "explored" / experiment / f"{run}.ndjson"

    def before(self, who: str) -> AskedBefore:
        """What this person has asked by now, with a warning from the ninth question on."""
        its = {line.what: line.comparisons for line in self._lines() if line.who == who}
        comparisons = sum(its.values())
        warning = None
        if len(its) >= MANY - 1:
            warning = (
                f"you have put {len(its)} different questions to this run, {comparisons:,} comparisons: by chance "
                f"alone about {0.05 * comparisons:,.0f} of them would have p < .05, and each answer corrects for its "
                "own only. Take what you find as an idea for the next experiment"
            )
        return AskedBefore(questions=len(its), comparisons=comparisons, warning=warning)

    def note(self, who: str, question: ExploreQuestion, comparisons: int) -> None:
        """That it was asked, unless that is known."""
        what = blake2b(msgspec.json.encode(question), digest_size=12).hexdigest()
        if any((line.who, line.what) == (who, what) for line in self._lines()):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(_Line(who, what, comparisons)) + b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)  # at once: several processes may
        finally:
            os.close(handle)

    def _lines(self) -> list[_Line]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=_Line) for line in lines]
