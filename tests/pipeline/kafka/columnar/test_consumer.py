import asyncio
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kafka.columnar.app import Quiet, create_app
from pipeline.kafka.columnar.consumer import ColumnsThread
from pipeline.kafka.columnar.errors import GapError, TransportError
from pipeline.kafka.columnar.schema import RecordsSchema
from pipeline.kafka.columnar.turn import BrokenTurnError, Turn
from schemas.records import Records

ZERO, ONE = TP("columns", 0), TP("columns", 1)


def slice_of(begin, end, tp=ZERO):
    offset = np.arange(begin, end)
    return Records(tp.topic, tp.partition, begin, end, offset, offset, offset, offset, memoryview(b""))


class Thread:
    """The client's thread, with a log and a group of its own."""

    def __init__(self):
        self.seeks = 0
        self.fetches = SimpleNamespace(columnar=frozenset(), is_quiet=False)
        self.earliest = {ZERO: 0, ONE: 0}
        self.group = {ZERO: None, ONE: None}
        self.answers = []
        self.asked = []
        self.did = []

    def assignment(self):
        return set(self.earliest)

    async def committed(self, tps):
        return {tp: (self.group[tp], "") for tp in tps if self.group[tp] is not None}

    async def earliest_offsets(self, *tps):
        return {TopicPartition(*tp): self.earliest[tp] for tp in tps}

    async def end_offsets(self, tps, timeout=None):
        del timeout
        return dict.fromkeys(tps, 1_000)

    async def seek_all(self, positions):
        self.seeks += 1
        self.did.append(("seek", dict(positions)))
        return self.seeks

    async def fetch(self, tps, timeout):
        assert timeout == 1.0
        self.asked.append(tps)
        return self.answers.pop(0)

    async def give_back(self, seeks, fetched):
        self.did.append(("give back", seeks, {tp: records[0].begin for tp, records in fetched.items()}))

    async def commit(self, offsets):
        self.did.append(("commit", dict(offsets)))
        self.group |= offsets
        return True

    async def subscribe(self, topics):
        self.did.append(("subscribe", set(topics)))

    def highwater(self, tp):
        return 1_000 + tp.partition


def consuming(test, **conf):
    """Run `test(app, consumer, thread)` on a consumer of two partitions, as it is after a rebalance."""

    async def run():
        app = create_app("consumer-test", "127.0.0.1:9092", **conf)
        app.topics.add(app.topic("columns", schema=RecordsSchema()))
        app.topics._acking_topics.add("columns")
        consumer = app.consumer
        consumer._thread = Thread()
        await consumer.subscribe(["columns"])
        consumer._set_active_tps({ZERO, ONE})
        await test(app, consumer, consumer._thread)

    asyncio.run(run())


async def delivered(consumer):
    return [(tp, message) async for tp, message in consumer.getmany(timeout=1.0)]


def test_a_partition_begins_where_the_app_chooses_else_at_the_committed_offset_else_at_the_beginning():
    async def test(app, consumer, thread):
        begun, asked = [], []

        async def start_position(tp, log):
            asked.append((tp, log.begin))
            return 40 if tp == ZERO else None

        app.start_position, app.begin = start_position, lambda tp, offset: begun.append((tp, offset))
        thread.earliest = {ZERO: 30, ONE: 20}

        await consumer.perform_seek()
        thread.group[ONE] = 25
        await consumer.perform_seek()

        assert asked == [(ZERO, 30), (ONE, 20)] * 2
        assert begun == [(ZERO, 40), (ONE, 20), (ZERO, 40), (ONE, 25)]
        assert thread.did[1:] == [("seek", {ZERO: 40, ONE: 20}), ("seek", {ZERO: 40, ONE: 25})]
        assert (app.position(ZERO), app.position(ONE)) == (40, 25)

    consuming(test)


def test_a_group_without_offsets_may_begin_at_the_end():
    async def test(app, consumer, _):
        await consumer.perform_seek()

        assert app.position(ZERO) == 1_000

    consuming(test, consumer_auto_offset_reset="latest")


def test_a_position_before_the_log_is_refused_before_anything_is_begun():
    async def test(app, consumer, thread):
        begun = []
        app.begin = lambda tp, _: begun.append(tp)
        thread.earliest[ONE], thread.group[ONE] = 30, 29

        with pytest.raises(GapError, match=r"columns-1 must be read from offset 29 on, .* holds offsets 30 to 1000"):
            await consumer.perform_seek()

        assert begun == []
        assert consumer.positions == {}

    consuming(test)


def test_slices_become_messages_that_carry_their_last_offset():
    async def test(app, consumer, thread):
        await consumer.perform_seek()
        thread.answers = [(1, {TopicPartition(*ZERO): [slice_of(0, 5), slice_of(5, 6)]})]

        got = await delivered(consumer)

        assert [(tp, message.offset, message.value.end) for tp, message in got] == [(ZERO, 4, 5), (ZERO, 5, 6)]
        assert app.position(ZERO) == 6

    consuming(test)


@pytest.mark.parametrize("begin", [4, 6])
def test_a_slice_that_does_not_continue_the_last_one_is_refused(begin):
    async def test(_, consumer, thread):
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5), slice_of(begin, 9)]})]

        with pytest.raises(GapError, match=f"columns-0 begins at offset {begin}, but 5 comes next"):
            await delivered(consumer)

    consuming(test)


def test_what_was_fetched_before_a_seek_is_dropped():
    async def test(_, consumer, thread):
        await consumer.perform_seek()
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5)]}), (2, {ZERO: [slice_of(0, 3)]})]

        assert await delivered(consumer) == []
        assert [message.value.end for _, message in await delivered(consumer)] == [3]

    consuming(test)


def test_what_is_fetched_after_a_seek_before_anything_may_be_taken_is_given_back():
    async def test(_, consumer, thread):
        async def fetch(*_):
            consumer.stop_flow()
            return thread.seeks, {ZERO: [slice_of(3, 5), slice_of(5, 9)]}

        await consumer.perform_seek()
        thread.fetch = fetch

        assert await delivered(consumer) == []
        assert thread.did[-1] == ("give back", 1, {ZERO: 3})

    consuming(test)


def test_records_are_given_back_by_a_seek_to_their_first_unless_one_has_followed_already():
    async def test(_, consumer, __):
        client, thread = SimpleNamespace(sought=[], assignment=lambda: frozenset({ZERO})), ColumnsThread(consumer)
        client.seek = lambda tp, offset: client.sought.append((tp, offset))
        fetched = {ZERO: [slice_of(3, 5), slice_of(5, 9)], ONE: [slice_of(0, 2)]}  # of which one is gone again
        thread.seeks = 2
        await thread._give_back(client, 1, fetched)
        assert client.sought == []
        await thread._give_back(client, 2, fetched)
        assert client.sought == [(ZERO, 3)]

    consuming(test)


def test_nothing_is_fetched_during_a_rebalance_and_never_every_partition():
    async def test(app, consumer, thread):
        await consumer.perform_seek()
        app.rebalancing = True
        assert await delivered(consumer) == []
        app.rebalancing = False
        consumer._get_active_partitions().clear()
        assert await delivered(consumer) == []
        assert thread.asked == []

        consumer._set_active_tps({ONE})
        thread.answers = [(1, {})]
        await delivered(consumer)
        assert thread.asked == [{ONE}]
        assert thread.asked[0] is not consumer._get_active_partitions()

    consuming(test)


def test_a_log_that_does_not_reach_the_position_is_a_gap_and_other_errors_are_passed_on():
    async def test(_, consumer, thread):
        await consumer.perform_seek()
        thread.answers = [
            (1, OffsetOutOfRangeError({ZERO: 7})),
            (1, TopicAuthorizationFailedError("columns")),
            (0, OffsetOutOfRangeError({ZERO: 7})),
        ]

        with pytest.raises(GapError, match="doesn't hold the offsets"):
            await delivered(consumer)
        with pytest.raises(TopicAuthorizationFailedError):
            await delivered(consumer)
        assert await delivered(consumer) == []

    consuming(test)


def test_a_partition_whose_log_is_lost_to_an_app_that_asks_for_a_rebalance_is_fetched_no_more_and_others_are():
    async def test(app, consumer, thread):
        app.lost = lambda tp: tp == ZERO
        await consumer.perform_seek()
        thread.answers = [(1, OffsetOutOfRangeError({TopicPartition(*ZERO): 7})), (1, {ONE: [slice_of(0, 5)]})]

        assert await delivered(consumer) == []
        assert [tp for tp, _ in await delivered(consumer)] == [ONE]
        assert thread.asked == [{ZERO, ONE}, {ONE}]

        thread.answers = [(1, OffsetOutOfRangeError({ONE: 7}))]
        with pytest.raises(GapError):
            await delivered(consumer)

    consuming(test)


def test_a_topic_is_read_in_one_way_by_an_app():
    async def test(app, consumer, _):
        app.topics.add(app.topic("columns"))

        with pytest.raises(TransportError, match="'columns'"):
            await consumer.subscribe(["columns"])

    consuming(test)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.lists(st.integers(0, 60), max_size=25))
def test_the_committed_offset_never_steps_over_a_slice_that_was_not_acknowledged(sizes, steps):
    """Slices are acknowledged one by one in any order (`ack`) or up to an offset (`durable`); commits come between."""

    async def test(app, consumer, thread):
        thread.group[ZERO] = 100
        await consumer.perform_seek()
        ends = [100 + sum(sizes[: i + 1]) for i in range(len(sizes))]
        begins = [100, *ends[:-1]]
        thread.answers = [(1, {ZERO: [slice_of(b, e) for b, e in zip(begins, ends, strict=True)]})]
        messages = [message for _, message in await delivered(consumer)]
        acked = set()
        for step in steps:
            kind, which = step % 3, step % len(ends)
            if kind == 0:
                consumer.ack(messages[which])
                acked.add(which)
            elif kind == 1:
                app.durable(ZERO, ends[which] - (step % 2))
                acked |= {i for i, end in enumerate(ends) if end <= ends[which] - (step % 2)}
            else:
                await consumer.commit()
        await consumer.commit_all()

        prefix = next((i for i in range(len(ends)) if i not in acked), len(ends))
        assert thread.group[ZERO] == ([100, *ends][prefix])
        committed = [offsets[ZERO] for what, offsets in thread.did if what == "commit"]
        assert committed == sorted(set(committed))

    consuming(test)


def test_a_worker_that_begins_before_the_committed_offset_commits_from_there():
    async def test(app, consumer, thread):
        thread.group[ZERO] = 100

        async def start_position(tp, _):
            return 50 if tp == ZERO else None

        app.start_position = start_position
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(50, 60)]})]
        await delivered(consumer)
        app.durable(ZERO, 60)
        await consumer.commit_all()

        assert thread.group[ZERO] == 60

    consuming(test)


def test_an_acknowledgement_from_before_a_rebalance_does_not_count():
    async def test(app, consumer, thread):
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5)]}), (2, {ZERO: [slice_of(0, 5)]})]
        ((_, stale),) = await delivered(consumer)
        app.consumer_generation_id = 2
        await consumer.perform_seek()
        ((_, fresh),) = await delivered(consumer)

        assert not consumer.ack(stale)
        await consumer.commit_all()
        assert thread.group[ZERO] is None
        consumer.ack(fresh)
        await consumer.commit_all()
        assert thread.group[ZERO] == 5

    consuming(test)


def test_partitions_are_released_then_committed_then_forgotten():
    async def test(app, consumer, thread):
        async def release(tps):
            thread.did.append(("release", tps))
            app.durable(ZERO, 5)

        app.release = release
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5), slice_of(5, 9)]})]
        await delivered(consumer)
        thread.did.clear()

        await consumer.on_partitions_revoked({ZERO, ONE})

        assert thread.did == [("release", {ZERO, ONE}), ("commit", {ZERO: 5})]
        assert consumer.positions == {}
        app.durable(ZERO, 9)
        await consumer.commit_all()
        assert thread.group[ZERO] == 5

    consuming(test)


def test_a_rebalance_while_the_worker_stops_releases_once_and_leaves_it_the_client():
    async def test(app, consumer, thread):
        async def release(tps):
            await asyncio.sleep(0)
            thread.did.append(("release", tps))
            app.durable(ZERO, 5)

        closed = Counter()
        thread.close = lambda: closed.update(["client"])
        app.release = release
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5)]})]
        await delivered(consumer)
        thread.did.clear()
        app._stopped.set()

        await asyncio.gather(consumer.on_partitions_revoked({ZERO, ONE}), app._let_all_go())
        await consumer.on_partitions_assigned({ZERO, ONE})

        assert thread.did == [("release", {ZERO, ONE}), ("commit", {ZERO: 5})]
        assert app.should_stop
        assert not app.crashed
        assert not closed

    consuming(test)


def test_a_worker_that_stops_fetches_nothing_of_partitions_that_come_meanwhile():
    async def test(app, consumer, thread):
        await consumer.perform_seek()
        app._stopped.set()
        await consumer.on_partitions_revoked({ZERO, ONE})
        await consumer.on_partitions_assigned({ZERO, ONE})
        thread.answers = [(1, {ZERO: [slice_of(3, 5)]})]

        assert await delivered(consumer) == []
        assert thread.asked == []

    consuming(test)


@pytest.mark.parametrize("fetched", [{ZERO: [slice_of(3, 5)]}, NoOffsetForPartitionError(ZERO)])
def test_what_is_fetched_while_partitions_go_is_dropped_though_an_earlier_rebalance_ends_meanwhile(fetched):
    async def test(app, consumer, thread):
        async def fetch(*_):
            await consumer.on_partitions_revoked({ZERO, ONE})
            consumer.resume_flow()
            return thread.seeks, fetched

        await consumer.perform_seek()
        thread.fetch = fetch

        assert await asyncio.wait_for(delivered(consumer), 10) == []
        assert not app.rebalancing

    consuming(test)


def test_what_the_next_rebalance_takes_away_meanwhile_is_not_begun():
    async def test(app, consumer, thread):
        told = []

        async def release(tps):
            told.append(("release", tps))

        async def committed(_):
            app.on_rebalance_start()
            await consumer.on_partitions_revoked({ZERO, ONE})
            return {}

        app.release, app.begin = release, lambda tp, _: told.append(("begin", tp))
        thread.committed = committed

        await consumer.perform_seek()

        assert told == []
        assert consumer.positions == {}
        del thread.committed
        app.consumer_generation_id += 1
        await consumer.perform_seek()
        assert told == [("begin", ZERO), ("begin", ONE)]

    consuming(test)


def test_a_release_that_fails_ends_the_worker_with_nothing_committed():
    async def test(app, consumer, thread):
        async def release(_):
            app.durable(ZERO, 5)
            raise OSError("disk full")

        app.release = release
        await consumer.perform_seek()
        thread.answers = [(1, {ZERO: [slice_of(0, 5)]})]
        await delivered(consumer)

        await consumer.on_partitions_revoked({ZERO, ONE})

        assert app.crashed
        assert isinstance(app.crash_reason, OSError)
        assert thread.group[ZERO] is None

    consuming(test)


def test_after_an_error_in_a_turn_nobody_gets_one_and_nothing_is_released():
    async def test(app, consumer, _):
        released = Counter()

        async def release(tps):
            released.update(tps)

        app.release = release
        await consumer.perform_seek()
        with pytest.raises(ZeroDivisionError):
            async with app.turn:
                raise ZeroDivisionError

        await app.let_go({ZERO})

        assert not released
        with pytest.raises(BrokenTurnError):
            await app.turn.acquire()

    consuming(test)


def test_a_turn_survives_a_cancellation_and_refuses_those_who_waited_for_one_that_broke():
    async def test():
        turn = Turn()

        async def hold(error):
            async with turn:
                await asyncio.sleep(0.01)
                raise error

        task = asyncio.create_task(hold(ValueError()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with turn:
            pass
        failing = asyncio.create_task(hold(ValueError()))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(KeyError()))

        outcomes = await asyncio.gather(failing, waiting, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [ValueError, BrokenTurnError]

    asyncio.run(test())


def test_what_is_done_seldom_where_nothing_comes_is_done_when_something_does():
    async def run():
        app, rounds = create_app("quiet", "127.0.0.1:1"), []

        async def do():
            rounds.append(None)

        app.regularly(0.001, do, Quiet(after=0.01, seconds=60.0))
        task = asyncio.create_task(app._regular[0]())
        await asyncio.sleep(0.1)
        before = len(rounds)
        await asyncio.sleep(0.1)
        assert len(rounds) == before > 0

        app.came()
        await asyncio.sleep(0.005)
        assert len(rounds) > before
        task.cancel()

    asyncio.run(run())
