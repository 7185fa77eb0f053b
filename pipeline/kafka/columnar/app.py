"""App: a Faust application that reads columns, and stops rather than lose anything.

app = create_app("peekproof-archive", "localhost:9092")

async def take(tp: TP, records: Records) -> None:
    ...
    app.durable(tp, records.end)

app.each_slice(["exposures", "events"], take)
run(app)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, NoReturn, cast

import faust
from faust.tables.manager import TableManager
from faust.transport.conductor import Conductor
from faust.transport.drivers import TRANSPORTS
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor
from yarl import URL

from pipeline.kafka.columnar.columns import compile_kernels
from pipeline.kafka.columnar.consumer import Consumer
from pipeline.kafka.columnar.hooks import Hooks
from pipeline.kafka.columnar.schema import RecordsSchema
from pipeline.kafka.columnar.turn import BrokenTurnError, Turn
from pipeline.kafka.complaints import Complaints, Plainly
from pipeline.kafka.connection import METADATA_MS
from schemas.records import Records

SCHEME = "peekproof"
TRANSPORTS.aliases[SCHEME] = "pipeline.kafka.columnar.consumer:Transport"

FETCH_BYTES = 1 << 20  # per partition and fetch; a single larger message comes through all the same
SLICES_PER_POLL = 16
WAITING_SLICES = 8  # between the consumer and an agent, before the consumer waits

Release = Callable[[set[TP]], Awaitable[None]]
Take = Callable[[TP, Records], Awaitable[None]]


class Quiet(NamedTuple):
    """How seldom something is done where nothing has come for `after` seconds; it is done when something comes, too."""

    after: float
    seconds: float


class Tables(TableManager):
    """Those of an app that has none: nobody waits a second for them before the first partition is asked for."""

    async def on_start(self) -> None:
        """As Faust does, but at once."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class App(Hooks):
    """A Faust app whose partitions are begun and released in order. `create_app` makes one.

    `release(tps)` comes before partitions go to another worker, or the worker stops: what it declares durable is
    committed then. It, the other hooks, and the slices given to `each_slice`, hold `turn`: one at a time. After an
    error in a turn nobody gets one, and nothing is released: the next worker begins where the last good commit was.
    `prepare` comes before everything, `finish` after everything that it prepared for: what is done `regularly`
    included, of which no round is under way when partitions are released. `explain` gives an error that a person can
    mend as a sentence, and `prepared` is called after `prepare`.
    """

    explain: Callable[[BaseException], str | None] = staticmethod(lambda _: None)
    prepared: Callable[[], None] = staticmethod(lambda: None)
    prepare: Callable[[], Awaitable[None]] | None = None
    finish: Callable[[], Awaitable[None]] | None = None
    release: Release | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.turn = Turn()
        self.is_prepared = False
        self._came_at = monotonic()  # when something came last
        self._news = asyncio.Event()  # set for a moment when something comes
        self._regular: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._rounds: list[asyncio.Lock] = []  # of what is done regularly
        self.on_before_shutdown.connect(self._let_all_go)

    async def on_first_start(self) -> None:
        """Compile what must not be compiled when the broker waits for heartbeats.

        Faust makes directories here. This app has no tables, and several workers share a working directory.
        """
        await asyncio.to_thread(compile_kernels)

    def each_slice(self, topics: Iterable[str], take: Take) -> None:
        """Give every slice of these topics to `take`, in order, one at a time. An error of it ends the worker.

        A slice is acknowledged by `durable`, not by having been taken.
        """
        topic = self.topic(*topics, schema=RecordsSchema(), maxsize=WAITING_SLICES)

        async def each_slice(stream: StreamT[Any]) -> None:
            async for event in cast(faust.Stream[Any], stream).noack().events():
                async with self.turn:
                    if self._is_current(event):
                        await take(event.message.tp, cast(Records, event.value))
                self.came()

        # What Faust's decorators do, but that they look for the module of a function: for a second, through all that
        # are loaded, of which a forked process then has pages of its own.
        kind = cast(type[faust.Agent], self.conf.Agent)
        agent = kind(each_slice, name="each_slice", app=self, channel=topic, on_error=self._on_agent_error)
        self.agents[agent.name] = agent
        self.topics.beacon.add(agent)

    async def read(self, topics: Iterable[str], keyed: Iterable[str] = ()) -> None:
        """Read these topics from now on, in the place of those given to `each_slice`, some of them with their keys.

        Not to be called in a turn.
        """
        names = list(topics)
        for channel in self.topics:
            if isinstance(channel.schema, RecordsSchema):
                channel.topics = names
        await self._columns.change(await cast(Conductor, self.topics)._update_indices(), frozenset(keyed))

    def came(self) -> None:
        """Something came that work may follow from: a slice, or what the app heard of otherwise."""
        self._came_at = monotonic()
        self._news.set()
        self._news.clear()

    def regularly(self, seconds: float, do: Callable[[], Awaitable[None]], quiet: Quiet | None = None) -> None:
        """Do it once the worker is ready, and then every so many seconds, or later where it takes longer itself, or
        where it is `quiet`.

        An error of it ends the worker.
        """
        a_round = asyncio.Lock()
        self._rounds.append(a_round)

        async def rounds() -> None:
            while not self.should_stop:
                began = monotonic()
                async with a_round:
                    if not self.should_stop:
                        await do()
                await asyncio.sleep(max(began + seconds - monotonic(), 0.1 * seconds))
                if quiet and monotonic() - self._came_at > quiet.after:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(began + quiet.seconds - monotonic()):
                            await self._news.wait()

        self._regular.append(rounds)

    async def on_started_init_extra_tasks(self) -> None:
        """Begin with what is done regularly."""
        await super().on_started_init_extra_tasks()
        for rounds in self._regular:
            self.add_future(rounds())

    def _is_current(self, event: EventT[Any]) -> bool:
        """Whether the partition is still held as it was when the slice was delivered."""
        message = event.message
        return message.tp in self._columns.positions and message.generation_id == self.consumer_generation_id

    def durable(self, tp: TP, offset: int) -> None:
        """Nothing of this partition before `offset` needs to be read again."""
        self._columns.durable(tp, offset)

    def hold(self, tp: TP) -> None:
        """Fetch no more of a partition for now; what was fetched is still given."""
        self._columns.pause_partitions({tp})

    def go_on(self, tp: TP) -> None:
        """Fetch of it again."""
        self._columns.resume_partitions({tp})

    def position(self, tp: TP) -> int:
        """The offset at which the next slice of an assigned partition will begin (those waiting count as delivered).

        Raises KeyError for a partition that this worker doesn't hold.
        """
        return self._columns.positions[tp]

    async def end_offsets(self, tps: Iterable[TP], seconds: float | None = None) -> dict[TP, int]:
        """The offsets behind the last record of each partition's log, asked for after this call.

        Raises KafkaTimeoutError where they are not known after so many seconds.
        """
        return await self._columns.end_offsets(tps, seconds)

    async def offset_at(self, tp: TP, time: int) -> int | None:
        """The first offset of a record of that time (ms UTC) or later; None: there is none yet."""
        return await self._columns.offset_at(tp, time)

    @property
    def _columns(self) -> Consumer:
        return cast(Consumer, self.consumer)

    async def let_go(self, tps: set[TP]) -> None:
        """Release those of these partitions that were begun, and forget them."""
        with suppress(BrokenTurnError):
            async with self.turn:
                held = tps & self._columns.positions.keys()
                if held and self.release is not None and not self.crashed:
                    await self.release(held)
                for tp in held:
                    del self._columns.positions[tp]

    async def on_start(self) -> None:
        """Prepare, before the client connects."""
        if self.prepare is not None:
            await self.prepare()
        self.is_prepared = True
        self.prepared()
        await super().on_start()

    async def on_stop(self) -> None:
        """Finish, after the last commit."""
        await super().on_stop()
        if self.finish is not None and self.is_prepared:
            await self.finish()

    def _on_rebalance_when_stopped(self) -> None:
        """Nothing. Faust closes the client here, and from a foreign thread; what is committed at last needs it yet."""

    async def _let_all_go(self, *_: Any, **__: Any) -> None:
        if not self.crashed:
            for a_round in self._rounds:
                await a_round.acquire()  # for good
        if self._consumer is not None:
            await self.let_go(set(self._columns.positions))
            if not self.crashed:  # else the client may be gone
                await self._columns.commit_all()


def create_app(name: str, bootstrap_servers: str, **conf: Any) -> App:
    """An app that is the consumer group `name`; `conf` is Faust's and goes before what is chosen here.

    Partitions are spread round-robin over the group's workers: no stage needs that the same partition of two topics
    meets in one worker. (One that did would need Faust's own assignor, which table_standby_replicas=1 brings.)
    """
    ours: dict[str, Any] = {
        "broker": [URL(f"{SCHEME}://{server.strip()}") for server in bootstrap_servers.split(",")],
        # Stop at the first error: an agent that is started again has lost the slice that it failed on.
        "agent_supervisor": CrashingSupervisor,
        "stream_wait_empty": False,
        # A worker that is gone is noticed after the session timeout.
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 1.0,  # also how fast a rebalance is noticed
        "broker_rebalance_timeout": 30.0,
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": SLICES_PER_POLL,
        "consumer_max_fetch_size": FETCH_BYTES,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": METADATA_MS,
        "producer_acks": -1,
        "producer_request_timeout": 60.0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "TableManager": Tables,
        "stream_recovery_delay": 0.0,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
        "datadir": Path(),
    }
    return App(name, **(ours | conf))


class AppProcess(faust.Worker):
    """The process around an app, and its log."""

    app: App

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Say an error that is explained once, and without its traceback."""
        super().on_setup_root_logger(logger, level)
        for handler in logger.handlers:
            handler.addFilter(Complaints())
            handler.addFilter(Plainly(self.app.explain))

    def install_signal_handlers(self) -> None:
        """Only once there is something to finish: until then those hold that were there before."""
        if self.app.is_prepared:
            super().install_signal_handlers()

    async def _sentinel_task(self) -> None:
        """Nothing. Faust waits a second here, when all has ended."""


def run(app: App, log_level: int = logging.INFO) -> NoReturn:
    """Run a worker until SIGTERM or SIGINT (exit code 0) or an error (exit code 1)."""
    process = AppProcess(app, loglevel=log_level, redirect_stdouts=False, quiet=True)
    app.prepared = process.install_signal_handlers
    process.execute_from_commandline()
