"""Plans: what do the plans of flags say now?

Keeps the newest look of each run, and what the workers of the stages before say of themselves. Each second, and when a
look arrives, it asks each plan for which something has changed or a moment has come, and does what it says as an editor
does: by a version of the flag's document, which stands only if no other came first. So any number of workers write one
version, a restart none twice, and nobody's edit is overridden.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import ClassVar

from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.overview import stages_to_look
from evaluation.plans.acts import Act, told_act
from evaluation.plans.question import Said, acted_on, ask
from evaluation.plans.upstream import LATE_MS, Upstream
from pipeline.catalog import editing
from pipeline.catalog.topic import CatalogWriter, EditConflictError
from pipeline.errors import PeekproofError
from pipeline.kafka.bookmark import newest_looks
from pipeline.kafka.clients import IDLE_MS
from pipeline.kafka.connection import UnreachableError
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import create_producer
from pipeline.settings import Settings
from pipeline.stages.newest_looks import NewestLook, first_read, keep_newest, standing
from pipeline.stages.stage import Stage
from schemas.decoding import decode
from schemas.health import WorkerHealth
from schemas.look import Look, RunKey
from schemas.plan import Evidence
from schemas.records import Records
from schemas.topics import HEALTH, RESULTS, SourcePartition

LONGEST_SILENCE_MS = 5_000  # of a plan that waits for nothing that is known

ONLY_TELLS = "acts that are switched off (PEEKPROOF_PLANS=tell)"  # so that health tells it
_log = logging.getLogger(__name__)


class PlansStage(Stage):
    """Looks, catalog and health in; versions of flags out."""

    name: ClassVar[str] = "plans"
    topics: ClassVar[tuple[str, ...]] = (RESULTS,)
    is_whole: ClassVar[bool] = True
    tick_seconds: ClassVar[float] = 2.0
    fetch_wait_ms: ClassVar[int] = IDLE_MS  # a look is fetched at once

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._writer = CatalogWriter(settings, self.aside, lambda: self.heard())  # noqa: PLW0108 (it is given later)
        self.catalog = self._writer.reader
        self._health = Follower(
            settings, HEALTH, self._hear, self.aside, from_end=True, columnar=True, gathering_ms=IDLE_MS
        )
        self._upstream = Upstream()
        self._newest: dict[RunKey, NewestLook] = {}
        self._begins: dict[int, int] = {}  # by partition of `results`: older looks that matter are known at the start
        self._decoded: dict[RunKey, tuple[int, Look | None]] = {}  # with its number; of flags that have a plan
        self._read_to: dict[SourcePartition, int] = {}  # when each was last read to its end; 0: not yet
        self._time = 0  # the brokers', ms UTC
        # By flag: what its plan was asked about when nothing was to be done, and until when that is so (ms UTC).
        self._silent: dict[str, tuple[tuple[int, int | None, str | None], int]] = {}
        self._told: dict[str, tuple[int, set[str]]] = {}  # by flag: of that version
        if settings.plans == "tell":
            self.count(ONLY_TELLS, 1)

    async def start(self) -> None:
        """Connect; read the catalog, and begin to hear the workers."""
        self.producer = create_producer(self.settings)
        await asyncio.gather(self.producer.start(), self._writer.__aenter__(), self._health.start())
        self._begins, found = await newest_looks(self.settings)
        keep_newest(self._newest, standing(found), self.aside)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """The newest look of a run may be long ago: from the bookmark on, or the beginning."""
        return first_read(self._begins, source, earliest, self.logs)

    def begin(self, source: SourcePartition, offset: int) -> None:
        """What comes first may be old: nothing is asked until the end has been reached."""
        del offset
        self._read_to[source] = 0

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Keep the newest look of each run, and ask what has news."""
        news = {experiment for experiment, _ in keep_newest(self._newest, standing(records), self.aside)}
        if len(records):
            self._time = max(self._time, int(records.append_time.max()))
        self.durable(source, records.end)
        self.count("looks", len(records))
        await self._ask(news)

    def reach(self, source: SourcePartition, time: int) -> None:
        """It has been read to its end."""
        self._read_to[source] = time

    async def beat(self, time: int) -> None:
        """Ask every plan."""
        self._time = max(self._time, time)
        await self._ask(self.catalog.history.newest.flags)

    async def tick(self) -> None:
        """Fail where what is followed cannot be."""
        for failure in (self.catalog.failure, self._health.failure):
            if failure:
                raise failure

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Nothing is kept of them."""
        for source in sources:
            self._read_to.pop(source, None)

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(self._health.stop(), self._writer.__aexit__(), self.producer.stop())

    async def _ask(self, keys: Iterable[str]) -> None:
        """Ask the plans of these flags, once every look that there was has been read."""
        if not all(self._read_to.values()):
            return
        flags = self.catalog.history.newest.flags
        planned = [key for key in keys if key in flags and flags[key].definition.plan]
        for key in sorted(planned):
            await self._heed(key, self._behind(flags[key]))

    async def _heed(self, key: str, behind: str | None) -> None:
        """Do what a plan says, if it says anything."""
        while True:
            flag = self.catalog.history.newest.flags[key]
            newest = self._newest_at(flag)
            about = flag.version, newest and newest.number, behind
            answered, until = self._silent.get(key, (None, 0))
            if about == answered and self._time < until:
                return
            look = self._decoded_at(flag)
            if newest and look is None:  # it may show what forbids a step
                behind = f"look {newest.number} of {flag.runs[-1].key} cannot be read here"
            try:
                said = ask(flag, look, self._time, behind)
            except Exception as error:  # one plan must not take the others' protection away
                why = f"{type(error).__name__}: {error}"
                self._tell(flag, f"the plan of '{key}' cannot be asked: {why}", "", "plans that cannot be asked")
                return
            if said.act is None:
                moments = [each.since for each in said.awaits if each.since is not None and each.since > self._time]
                self._silent[key] = about, min([*moments, self._time + LONGEST_SILENCE_MS])
                return
            does = f"the plan of '{key}', version {flag.version}, would {told_act(said.act)}"
            if self.settings.plans == "tell":
                self._tell(flag, f"{does} (PEEKPROOF_PLANS=tell)", f": {said.reason}", "acts that it would take")
                return
            try:
                await self._do(flag, said, said.act, look)
            except EditConflictError:
                self.count("acts that others came before", 1)
                continue  # what stands now may want another
            except UnreachableError:
                raise
            except PeekproofError as refusal:
                self._tell(flag, f"{does}, but it is refused: {refusal}", "", "acts that were refused")
            return

    async def _do(self, flag: FlagInForce, said: Said, act: Act, look: Look | None) -> None:
        """Publish the version that an act asks for, on the one that was asked about."""
        key = flag.definition.key
        evidence = Evidence(
            version=flag.version + 1,
            time=self._time,
            run=look.run if look else None,
            look=look.look if look else None,
            alarms=acted_on(said),
        )
        change = await editing.act(self._writer, key, act, said.reason, evidence)
        self.count("acts", 1)
        _log.info("flag '%s': its plan wrote version %d, to %s: %s", key, change.version, told_act(act), said.reason)

    def _newest_at(self, flag: FlagInForce) -> NewestLook | None:
        """The newest look at the flag's newest run, if there is one."""
        return self._newest.get((flag.definition.key, flag.runs[-1].key)) if flag.runs else None

    def _decoded_at(self, flag: FlagInForce) -> Look | None:
        """The same; None where it cannot be read."""
        newest = self._newest_at(flag)
        if newest is None:
            return None
        run = (flag.definition.key, flag.runs[-1].key)
        if self._decoded.get(run, (None,))[0] != newest.number:
            self._decoded[run] = newest.number, newest.read(self.aside)
        return self._decoded[run][1]

    def _behind(self, flag: FlagInForce) -> str | None:
        """Why the newest look at the flag may not tell everything, if so."""
        late = self._time - min(self._read_to.values(), default=0)
        if late > LATE_MS:
            return f"results have not been read to their end for {late // 1_000} s"
        return self._upstream.behind(self._time, stages_to_look(flag.definition))

    def _hear(self, records: Records) -> None:
        for row in range(len(records)):
            with self.aside.unless_ours(HEALTH, records.partition, int(records.offset[row])):
                self._upstream.hear(int(records.append_time[row]), decode(records.value(row), WorkerHealth))

    def _tell(self, flag: FlagInForce, what: str, more: str, counted_as: str) -> None:
        """Say something about a version of a flag, once."""
        version, told = self._told.get(flag.definition.key, (0, set()))
        if version != flag.version:
            told = set()
            self._told[flag.definition.key] = flag.version, told
        if what not in told:
            told.add(what)
            self.count(counted_as, 1)
            _log.warning("%s%s", what, more)
