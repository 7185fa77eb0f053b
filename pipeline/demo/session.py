"""Session: one demo, from its first process to its last.

What it starts, it stops: a broker (unless bootstrap servers are set), a worker of every stage, the traffic. What it
writes is in `demo/` of the data directory, made anew each time. Its topics have a prefix of their own; a cluster that
is not ours loses them at the end.
"""

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.lifecycle import start
from evaluation.catalog.overview import Told, told
from pipeline.catalog import editing
from pipeline.catalog.documents import Documents, read_documents
from pipeline.catalog.editing import Signature, StepName
from pipeline.catalog.topic import opened
from pipeline.demo import shop
from pipeline.demo.processes import Processes, Usage
from pipeline.demo.progress import TrafficProgress
from pipeline.demo.watch import DemoWatch, Freshness
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.follower import Follower
from pipeline.kafka.set_aside import SetAside
from pipeline.listening import console, with_free_port
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from schemas.look import Look
from schemas.topics import ASSIGNMENTS, DEAD_LETTERS, HEALTH, RESULTS

_INSTALLED = Path(__file__).with_name("configs")  # where a wheel has what stands in the checkout's `configs`
EXAMPLES = _INSTALLED if _INSTALLED.exists() else Path(__file__).parents[2] / "configs"
UNITS_PARTITIONS = 4  # for one machine
HORIZON_MS = 10_000
ARCHIVE_INTERVAL_MS = 5_000

START_SECONDS = 180.0  # for the workers to be there; the first time their kernels are compiled
SETTLE_SECONDS = 90.0  # for everything to be counted after the traffic; window and horizon take 20 of them
STOP_SECONDS = 10.0  # for the traffic to end when told to; without a broker it would wait for ever
MOST_FALLS = 5  # of one worker
LOOK_SECONDS = 0.25  # between two pictures
MEASURE_SECONDS = 3.0  # between two measures of the processes, which walk through the pages of each

TAG = "demo"  # of the examples that take part
# What happens to a flag while the traffic flows: at which share of it, the step, its variant, and why.
FLAG = "dark-mode"
STEPS: tuple[tuple[float, StepName, str | None, str], ...] = (
    (0.4, "rollout", "dim", "everybody likes it"),
    (0.7, "rollback", None, "but for one who can't read it"),
)


class DemoMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Where the demo is: `elapsed` of the `seconds` of traffic. `console`: the server's address."""

    phase: str
    elapsed: float
    seconds: float
    console: str = ""


class DemoOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a demo came to. Durations in seconds, memory in bytes."""

    complete: bool  # everything produced was counted, and every run is final
    seconds: float  # of traffic
    produced: int
    produced_by_topic: dict[str, int]
    events_per_second: float
    counted: int  # records that assignment has read
    duplicates: int  # over all experiments and metrics, as is `late`
    late: int
    orders: dict[str, int]  # of the shop's own topic: taken as events, excluded, dead letters
    dead_letters: int
    dead_letters_by_reason: dict[str, int]
    lag: int
    first_result_seconds: float | None  # from the beginning of the demo, its broker's start included
    freshness: Freshness | None
    cpu_seconds: float
    peak_memory: int  # of all together: the peak of each, less what others account for
    processes: list[Usage]
    bootstrap_servers: str
    prefix: str
    snapshot: str
    unfinished: list[str]  # experiments whose run is not final
    experiments: list[Look]  # the last look at each
    flags: dict[str, dict[str, int]]  # plain feature flags: answers by variant
    history: dict[str, list[Told]]  # of those whose state changed meanwhile: their versions


Show = Callable[[DemoWatch, DemoMoment], None]


def run_demo(base: Settings, seconds: float, events_per_second: float, show: Show) -> DemoOutcome:
    """Run a demo beside whatever `base` describes; `show` is called about four times a second.

    SIGINT and SIGTERM end it early, in order. Raises PeekproofError when it cannot go on.
    """
    began = time.monotonic()
    with _signals_kept(), _deployment(base) as (settings, own), Supervisor(settings, is_open=True) as supervisor:
        try:
            session = _Session(settings, supervisor, own, began, show)
            return asyncio.run(session.run(seconds, events_per_second))
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # the processes that still run must be stopped


class _Session:
    def __init__(
        self, settings: Settings, supervisor: Supervisor, own: Broker | None, began: float, show: Show
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._broker = own
        self._began = began
        self._show = show
        self._processes = Processes()
        self._next_measure = 0.0
        self._traffic: asyncio.subprocess.Process | None = None
        self._first_result: float | None = None

    async def run(self, seconds: float, events_per_second: float) -> DemoOutcome:
        self._stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        self._seconds = seconds
        documents = shop.documents_of(self._settings, EXAMPLES)
        self._watch = DemoWatch(await begin_experiments(self._settings, documents), shop.topic_of(self._settings))
        arrived = False
        async with self._following():
            if await self._until(self._is_ready, START_SECONDS, "the workers are starting"):
                await self._send(seconds, events_per_second)
                if not self._stopping.is_set():
                    await complete_experiments(self._settings)
                    phase = "the traffic is over, the last units settle"
                    arrived = await self._until(self._watch.has_arrived, SETTLE_SECONDS, phase)
            elif not self._stopping.is_set():
                missing = ", ".join(sorted(STAGES.keys() - self._watch.ready))
                raise PeekproofError(
                    f"no worker of {missing} is there after {START_SECONDS:.0f} s; see {self._settings.data / 'logs'}"
                )
        return self._outcome(arrived)

    def _is_ready(self) -> bool:
        return self._watch.ready >= STAGES.keys()

    async def _until(self, condition: Callable[[], bool], bound: float, phase: str, sending: bool = False) -> bool:
        """Watch until the condition holds: True. False: the bound (in seconds) passed, or somebody wants to stop."""
        start = time.monotonic()
        while True:
            elapsed = time.monotonic() - start
            self._check()
            if condition():
                return True
            shown = elapsed if sending else 0
            self._show(
                self._watch,
                DemoMoment(phase=phase, elapsed=shown, seconds=self._seconds, console=console(self._settings)),
            )
            if elapsed > bound or self._stopping.is_set():
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_SECONDS)

    async def _send(self, seconds: float, events_per_second: float) -> None:
        """Run the traffic to its end."""
        command = [sys.executable, "-m", "pipeline.demo.traffic", f"--seconds={seconds}"]
        with (self._settings.data / "logs" / "traffic.log").open("wb") as log:
            self._traffic = await asyncio.create_subprocess_exec(
                *command,
                f"--events-per-second={events_per_second}",
                env=os.environ | self._settings.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 26,  # bytes of a line
                start_new_session=True,  # Ctrl-C is for us, who then stop it
            )
        reading = asyncio.create_task(self._read_progress(self._traffic))
        living = asyncio.create_task(self._live(seconds))
        try:
            # The bound is for a traffic that hangs: it stops by itself when its time is over.
            ended = await self._until(reading.done, seconds + SETTLE_SECONDS, "live traffic", sending=True)
        finally:
            living.cancel()
            await asyncio.wait([living], timeout=STOP_SECONDS)
            await _stop(self._traffic, is_ending=reading.done())
            await reading
        if living.done() and not living.cancelled():
            living.result()
        has_failed = await self._traffic.wait() != 0 or not ended
        if has_failed and not self._stopping.is_set():  # one that has only begun ends by our signal
            raise PeekproofError(f"the traffic failed; see {log.name}")

    async def _live(self, seconds: float) -> None:
        """Lead a flag through its life while the traffic flows, by the functions behind the command line."""
        async with opened(self._settings) as writer:
            for share, step, variant, reason in STEPS:
                while self._watch.sending_seconds < share * seconds:
                    await asyncio.sleep(LOOK_SECONDS)
                await editing.take(writer, step, FLAG, Signature("demo", reason), variant=variant)
                self._watch.history[FLAG] = told(writer.history, FLAG)

    async def _read_progress(self, traffic: asyncio.subprocess.Process) -> None:
        assert traffic.stdout is not None
        async for line in traffic.stdout:
            self._watch.take_progress(msgspec.json.decode(line, type=TrafficProgress))

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[None]:
        watch = self._watch
        reads = {
            RESULTS: watch.take_look,
            ASSIGNMENTS: watch.take_answer,
            DEAD_LETTERS: watch.take_dead_letter,
            HEALTH: watch.take_health,
        }
        aside = SetAside()
        followers = [Follower(self._settings, topic, read, aside) for topic, read in reads.items()]
        try:
            for follower in followers:
                await follower.start()
            yield
            if not self._stopping.is_set():
                for follower in followers:
                    await follower.caught_up()
        finally:
            for follower in followers:
                await follower.stop()

    def _check(self) -> None:
        if time.monotonic() > self._next_measure:
            self._measure()
        if self._broker is not None and self._broker.pid is None:
            self._supervisor.stop(patience=0)  # without a broker they would only wait for it
            raise PeekproofError(f"the demo's broker ended by itself; see {self._broker.directory / 'broker.log'}")
        for worker in self._supervisor.workers:
            if worker.restarts >= MOST_FALLS:
                raise PeekproofError(
                    f"the {worker.name} worker fell {worker.restarts} times; its log says why: {worker.log}"
                )
        if self._first_result is None and self._watch.has_results():
            self._first_result = round(time.monotonic() - self._began, 2)

    def _measure(self) -> None:
        self._next_measure = time.monotonic() + MEASURE_SECONDS
        workers = self._supervisor.processes()
        own = [("broker", self._broker.pid)] if self._broker is not None and self._broker.pid is not None else []
        sending = [("traffic", self._traffic.pid)] if self._traffic is not None else []
        self._processes.measure([*own, *workers, *sending, ("demo", os.getpid())])

    def _outcome(self, arrived: bool) -> DemoOutcome:
        self._measure()
        watch, usage = self._watch, self._processes.usage
        return DemoOutcome(
            complete=arrived,
            seconds=watch.sending_seconds,
            produced=watch.produced,
            produced_by_topic=watch.acknowledged,
            events_per_second=round(watch.produced / max(watch.sending_seconds, 0.001), 1),
            counted=watch.counted,
            duplicates=watch.duplicates,
            late=watch.late,
            orders=watch.ordered,
            dead_letters=watch.dead_letters.total(),
            dead_letters_by_reason=dict(watch.dead_letters.most_common()),
            lag=watch.lag,
            first_result_seconds=self._first_result,
            freshness=watch.freshness(),
            cpu_seconds=round(sum(each.cpu_seconds for each in usage), 2),
            peak_memory=sum(each.peak_memory - each.shared_memory for each in usage),
            processes=usage,
            bootstrap_servers=self._settings.servers(),
            prefix=self._settings.prefix,
            snapshot=str(self._settings.snapshot),
            unfinished=watch.unfinished(),
            experiments=list(watch.looks.values()),
            flags={key: dict(sorted(answers.items())) for key, answers in watch.answers.items()},
            history=watch.history,
        )


async def _stop(process: asyncio.subprocess.Process, is_ending: bool) -> None:
    """Have it end in order, or at once where it doesn't; one that is ending hears no signal any more."""
    with suppress(ProcessLookupError):
        if not is_ending:
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()


async def begin_experiments(settings: Settings, documents: Documents | None = None) -> dict[str, FlagInForce]:
    """Apply the documents, those of the examples unless others are given, and start those that take part; those in
    force then.
    """
    documents = documents or read_documents(EXAMPLES)
    async with opened(settings) as writer:
        async for _ in editing.apply(writer, documents, Signature("demo", "an example")):
            pass
        for key, flag in writer.history.newest.flags.items():
            if TAG in flag.definition.tags:
                # A fixed salt: the same visitors meet the same variants in every demo.
                started = start(editing.state_of(writer.history, key), flag.version + 1, f"demo-{key}")
                await writer.publish(writer.next_version(started, "demo", "the demo begins"))
        return {key: flag for key, flag in writer.history.newest.flags.items() if flag.status == "running"}


async def complete_experiments(settings: Settings) -> None:
    """End the run of every experiment; plain feature flags stay as they are."""
    async with opened(settings) as writer:
        for key, flag in writer.history.newest.flags.items():
            if flag.definition.metrics and flag.status == "running":
                await editing.take(writer, "complete", key, Signature("demo", "the traffic is over"))


@contextmanager
def _deployment(base: Settings) -> Iterator[tuple[Settings, Broker | None]]:
    """An installation of the demo's own, and its own broker if there is one."""
    data = base.data.absolute() / "demo"
    base.data.mkdir(parents=True, exist_ok=True)
    with (base.data / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PeekproofError(
                f"a demo runs in {data} already; wait for its end, or name another directory (PEEKPROOF_DATA)"
            ) from None
        shutil.rmtree(data, ignore_errors=True)
        (data / "logs").mkdir(parents=True)
        logging.basicConfig(filename=data / "logs" / "demo.log", level=logging.INFO, force=True)
        settings = msgspec.structs.replace(
            with_free_port(base),
            data=data,
            checkpoints=None,
            prefix=base.topic(f"demo-{secrets.token_hex(4)}"),
            units_partitions=UNITS_PARTITIONS,
            horizon=HORIZON_MS,
            tolerance=HORIZON_MS,
            archive_interval=ARCHIVE_INTERVAL_MS,
        )
        if base.bootstrap_servers is None:
            with Broker(data / "broker") as own:
                settings = msgspec.structs.replace(settings, bootstrap_servers=own.bootstrap_servers)
                topics.create(settings)
                shop.open_shop(settings)
                yield settings, own
        else:
            topics.create(settings)
            shop.open_shop(settings)
            try:
                yield settings, None
            finally:
                topics.delete(settings)
                shop.close_shop(settings)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """SIGTERM is taken like Ctrl-C; afterwards both are as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
