"""Decisions: what was decided of each flag, and what the newest look said then."""

import asyncio
from time import monotonic

import msgspec
from aiokafka.errors import KafkaError
from litestar.exceptions import ServiceUnavailableException

from evaluation.catalog.decisions import Decided, Decisions
from evaluation.catalog.history import History
from evaluation.catalog.in_force import FlagInForce
from pipeline.http.results.looks import Looks
from pipeline.http.results.past_looks import LookThen, PastLooks
from pipeline.kafka.connection import UnreachableError
from pipeline.kafka.follower import Follower
from schemas.look import Verdict

FINDING_SECONDS = 5.0  # that the looks of one flag's decisions may take

NONE_YET = "no look had been published by then"
FORGOTTEN = (
    "which look was the newest then is not known: the topic keeps those of a week, and the archive here lacks those of "
    "that time"
)
UNREAD = f"which look was the newest then could not be read within {FINDING_SECONDS:.0f} s; ask again"


class DecisionTold(Decided, frozen=True, kw_only=True):
    """A decision with its evidence: the `look` at its run that was the newest then, and what that said.

    `no_look` says why there is none. The `verdict` is null too where the look's bytes are nowhere any more.
    """

    look: int | None
    verdict: Verdict | None
    no_look: str | None


class DecisionsTold:
    """Finds each decision's evidence once: it stays as it was."""

    def __init__(self, history: History, looks: Looks, past: PastLooks, results: Follower) -> None:
        self._history = history
        self._looks, self._past, self._results = looks, past, results
        self._decisions = Decisions()
        self._told: dict[tuple[str, int], DecisionTold] = {}  # by flag and version

    def of(self, key: str) -> list[Decided]:
        """A flag's decisions, oldest first."""
        self._decisions.read(self._history)
        return self._decisions.of.get(key, [])

    def last(self, flag: FlagInForce) -> Decided | None:
        """The last one since its newest run began that still holds: what was restored is archived no more."""
        run = flag.runs[-1].key if flag.runs else None
        held = (
            each
            for each in reversed(self.of(flag.definition.key))
            if each.run == run and (each.step != "archive" or flag.removed == "archived")
        )
        return next(held, None)

    async def told(self, key: str, reader: str) -> list[DecisionTold]:
        """The same, with what they rested on; `reader` waits for its turn among others."""
        decided = self.of(key)
        if new := [each for each in decided if (key, each.version) not in self._told]:
            try:
                async with asyncio.timeout(FINDING_SECONDS):
                    await self._results.caught_up(monotonic())
                    for each in new:
                        self._told[key, each.version] = _told(each, await self._then(key, each, reader))
            except (TimeoutError, KafkaError, UnreachableError, ServiceUnavailableException):
                pass  # those that are missing say so
        return [self._told.get((key, each.version)) or _without(each, UNREAD) for each in decided]

    async def _then(self, key: str, decided: Decided, reader: str) -> LookThen | None:
        kept = self._looks.of(key, decided.run) if decided.run else None
        if decided.noted is not None:
            return LookThen(decided.noted, await self._past.look(kept, decided.noted, reader) if kept else None)
        if kept is None:  # the topic keeps the newest look of each run for ever
            return LookThen(0, None)
        return await self._past.newest_at(kept, decided.time, reader)


class _Judged(msgspec.Struct):
    verdict: Verdict


def _told(decided: Decided, then: LookThen | None) -> DecisionTold:
    if then is None or not then.number:
        return _without(decided, NONE_YET if then else FORGOTTEN)
    verdict = msgspec.json.decode(then.value, type=_Judged).verdict if then.value else None
    return DecisionTold(**msgspec.structs.asdict(decided), look=then.number, verdict=verdict, no_look=None)


def _without(decided: Decided, why: str) -> DecisionTold:
    return DecisionTold(**msgspec.structs.asdict(decided), look=None, verdict=None, no_look=why)
