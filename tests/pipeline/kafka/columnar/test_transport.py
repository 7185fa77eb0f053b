"""The transport on a real broker, its workers as processes of their own."""

import asyncio
import json
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.processes.template import CONTEXT
from tests.pipeline.kafka.columnar.worker import work

SECONDS = 90.0


class Worker:
    """A worker process and what it has said so far."""

    def __init__(self, log, **told):
        self.said = []
        self.log = log
        self._news = threading.Condition()
        reader, writer = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=work, args=(told, writer, log), daemon=True)
        self.process.start()
        writer.close()
        self._reader = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        self._reader.start()

    def _listen(self, reader):
        with suppress(EOFError, OSError), reader:
            while True:
                said = json.loads(reader.recv())
                with self._news:
                    self.said.append(said)
                    self._news.notify_all()

    def of(self, what):
        return [each for each in list(self.said) if each["say"] == what]

    def errors(self):
        return self.log.read_text()

    def until(self, true):
        """Wait until `true(worker)`."""
        deadline = time.monotonic() + SECONDS
        with self._news:
            while not true(self):
                running = self.process.is_alive()
                assert running, f"ended with {self.process.exitcode}:\n{self.errors()}"
                left = deadline - time.monotonic()
                assert left > 0, f"nothing for {SECONDS} s; last said {self.said[-5:]}:\n{self.errors()}"
                self._news.wait(min(left, 0.5))
        return self

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self):
        self.process.kill()
        return self.wait()

    def wait(self):
        self.process.join(SECONDS)
        assert not self.process.is_alive()
        self._reader.join()
        return self.process.exitcode

    def taken(self):
        """How often each (partition, offset) was taken."""
        return Counter((each["partition"], offset) for each in self.of("slice") for offset in each["offsets"])


@pytest.fixture
def workers(tmp_path):
    started = []

    def start(**told):
        started.append(Worker(tmp_path / f"worker-{len(started)}.log", **told))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.is_alive():
            worker.kill()


@pytest.fixture
def cluster(broker):
    return Cluster(broker)


class Cluster:
    """A broker, seen by one test under names of its own."""

    def __init__(self, servers):
        self.servers = servers
        self.group = f"group-{uuid.uuid4().hex[:8]}"
        self.admin = KafkaAdminClient(bootstrap_servers=servers)

    def topic(self, partitions=1, **config):
        name = f"topic-{uuid.uuid4().hex[:8]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        return name

    def told(self, *topics, **more):
        return {"servers": self.servers, "group": self.group, "topics": topics, **more}

    def committed(self, topic, partitions=1):
        async def ask():
            consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=self.group)
            await consumer.start()
            tps = [TopicPartition(topic, partition) for partition in range(partitions)]
            found = [await consumer.committed(tp) for tp in tps]
            await consumer.stop()
            return found

        return asyncio.run(ask())

    def produce(self, topic, records, **settings):
        """Send (value, partition or None, headers, timestamp) with aiokafka."""

        async def send():
            async with AIOKafkaProducer(bootstrap_servers=self.servers, **settings) as producer:
                sent = [
                    await producer.send(topic, value, key=b"key", partition=partition, headers=headers, timestamp_ms=at)
                    for value, partition, headers, at in records
                ]
                await asyncio.gather(*sent)

        asyncio.run(send())

    def numbers(self, topic, numbers, partitions=1):
        """Send numbers, spread over the partitions."""
        self.produce(topic, [(b"%d" % number, number % partitions, [], None) for number in numbers])


def numbers_seen(worker, n):
    return lambda _: sum(worker.taken().values()) >= n


def ends_seen(worker, positions, ends):
    """Whether the worker has said that it was at these positions while the logs ended there."""
    return any(said["positions"] == positions and said["ends"] == ends for said in worker.of("ends"))


def test_what_producers_of_any_codec_sent_arrives_as_slices_beside_a_stock_topic(cluster, workers):
    topic, other = cluster.topic(message_timestamp_type="LogAppendTime"), cluster.topic()
    hour_ago = int((time.time() - 3600) * 1000)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        values = [f"{codec} {i} {'x' * 100}".encode() for i in range(20)]
        cluster.produce(topic, [(value, 0, [], hour_ago) for value in values], compression_type=codec)
    cluster.produce(topic, [(None, 0, [], hour_ago), (b"", 0, [("content-type", b"text/plain")], hour_ago)])
    theirs = KafkaProducer(bootstrap_servers=cluster.servers)
    theirs.send(topic, b"kafka-python", headers=[("a", b"b")])
    theirs.send(other, b"single")
    theirs.flush()
    before = int((time.time() - 600) * 1000)

    worker = workers(**cluster.told(topic, single=other))
    worker.until(numbers_seen(worker, 103)).until(lambda w: w.of("record"))
    slices = worker.of("slice")

    assert worker.of("begin") == [worker.of("begin")[0]]
    assert [offset for each in slices for offset in each["offsets"]] == list(range(103))
    values = [value for each in slices for value in each["values"]]
    assert [value.split()[0] for value in values[:100:20]] == ["None", "gzip", "snappy", "lz4", "zstd"]
    assert values[100:] == [None, "", "kafka-python"]
    assert all(at > before for each in slices for at in each["times"])
    headers = [of for each in slices for of in each["headers"].values()]
    assert headers == [[["content-type", "text/plain"]], [["a", "b"]]]
    assert [(each["offset"], each["value"]) for each in worker.of("record")] == [(0, "single")]
    worker.until(lambda _: ends_seen(worker, {"0": 103}, {"0": 103}))

    assert worker.stop() == 0
    assert worker.of("release")[-1]["partitions"] == [0]
    assert cluster.committed(topic) == [103]
    assert cluster.committed(other) == [1]


def test_workers_that_come_and_go_take_every_record_exactly_once(cluster, workers):
    topic = cluster.topic(partitions=4)
    told = cluster.told(topic, work=0.02, when_released=True, conf={"broker_heartbeat_interval": 0.3})
    sent, done = Counter(), threading.Event()

    def produce():
        async def send():
            async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
                while not done.is_set():
                    for partition in range(4):
                        for _ in range(10):
                            await producer.send(topic, b"1", partition=partition)
                    await producer.flush()
                    sent.update(range(4))
                    await asyncio.sleep(0.02)

        asyncio.run(send())

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        first = workers(**told)
        first.until(numbers_seen(first, 100))
        second = workers(**told)
        second.until(numbers_seen(second, 100))
        seen = sum(first.taken().values())
        first.until(numbers_seen(first, seen + 100))
        assert first.stop() == 0
        seen = sum(second.taken().values())
        second.until(numbers_seen(second, seen + 200))
        third = workers(**told)
        third.until(numbers_seen(third, 100))
    finally:
        done.set()
        producer.join()
    second.until(lambda _: sum(map(total, (first, second, third))) >= 10 * sum(sent.values()))
    assert third.stop() == second.stop() == 0

    everyone = first.taken() + second.taken() + third.taken()
    assert everyone == {(partition, offset): 1 for partition in range(4) for offset in range(10 * sent[partition])}
    for worker in (first, second, third):
        assert_slices_follow_each_other(worker)
    assert {each["partition"] for each in second.of("begin")} == {0, 1, 2, 3}
    assert cluster.committed(topic, 4) == [10 * sent[partition] for partition in range(4)]


def test_topics_are_taken_up_and_left_while_workers_run_with_every_record_taken_exactly_once(
    cluster, workers, tmp_path
):
    """When one is left, what was taken of it and not committed yet is committed first; taken up again it goes on."""
    ours, other = cluster.topic(partitions=2), cluster.topic()
    reads, news = tmp_path / "reads", tmp_path / "news"
    reads.write_text(json.dumps([ours]))
    told = cluster.told(ours, work=0.01, when_released=True, reads=str(reads), conf={"broker_heartbeat_interval": 0.3})
    done, sent = threading.Event(), Counter()

    def produce():
        async def send():
            async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
                while not done.is_set():
                    for place in ((ours, 0), (ours, 1), (other, 0)):
                        for _ in range(10):
                            await producer.send(place[0], b"1", partition=place[1])
                        sent[place] += 10
                    await producer.flush()
                    await asyncio.sleep(0.02)

        asyncio.run(send())

    def of(topic):
        said = [each for worker in (first, second) for each in worker.of("slice") if each["topic"] == topic]
        return Counter((each["topic"], each["partition"], offset) for each in said for offset in each["offsets"])

    def until(topic, n):
        first.until(lambda _: of(topic).total() >= n)

    def read(n, *topics):
        news.write_text(json.dumps(topics))
        news.replace(reads)  # whole
        for worker in (first, second):
            worker.until(lambda each: len(each.of("change")) == n)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        first, second = workers(**told), workers(**told)
        until(ours, 100)
        second.until(lambda each: each.of("ends"))
        read(1, ours, other)
        until(other, 100)
        read(2, ours)
        first.until(lambda _: cluster.committed(other)[0] is not None)
        until(ours, of(ours).total() + 200)
        left = of(other).total()
        until(ours, of(ours).total() + 100)
        assert of(other).total() == left == cluster.committed(other)[0], "it is not read any more"
        read(3, ours, other)
        until(other, left + 100)
    finally:
        done.set()
        producer.join()
    until(ours, sent[ours, 0] + sent[ours, 1])
    until(other, sent[other, 0])
    assert first.stop() == second.stop() == 0

    assert of(ours) + of(other) == {(*place, offset): 1 for place, n in sent.items() for offset in range(n)}
    for worker in (first, second):
        assert_slices_follow_each_other(worker)


def total(worker):
    return sum(worker.taken().values())


def assert_slices_follow_each_other(worker):
    """From each begin on, every slice begins where the last one ended, until the release."""
    next_of = {}
    for each in worker.said:
        match each:
            case {"say": "begin", "topic": topic, "partition": partition, "offset": offset}:
                assert (topic, partition) not in next_of
                next_of[topic, partition] = offset
            case {"say": "slice", "topic": topic, "partition": partition, "begin": begin, "end": end}:
                assert next_of[topic, partition] == begin
                next_of[topic, partition] = end
            case {"say": "release", "places": places}:
                for topic, partition in places:
                    next_of.pop((topic, partition), None)  # it may go before it was begun
    assert not next_of


def test_a_killed_worker_goes_on_where_its_checkpoints_end(cluster, workers, tmp_path):
    topic = cluster.topic(partitions=2)
    told = cluster.told(topic, work=0.005, checkpoints=str(tmp_path), conf={"consumer_group_instance_id": "one"})
    for chunk in range(30):
        cluster.numbers(topic, range(chunk * 100, chunk * 100 + 100), partitions=2)

    first = workers(**told)
    first.until(numbers_seen(first, 300))
    first.kill()
    cluster.numbers(topic, range(3000, 4000), partitions=2)
    second = workers(**told)
    second.until(lambda _: states(tmp_path) and sum(state["n"] for state in states(tmp_path)) >= 4000)

    assert second.stop() == 0
    assert sum(state["sum"] for state in states(tmp_path)) == sum(range(4000))
    assert [state["n"] for state in states(tmp_path)] == [2000, 2000]
    assert cluster.committed(topic, 2) == [2000, 2000]


def test_a_worker_s_name_goes_on_at_once_where_it_was_killed_and_leaves_when_it_is_stopped(cluster, workers):
    topic = cluster.topic(partitions=4)
    told = cluster.told(topic)
    # Nobody is taken for dead before the test would fail.
    names = [{"broker_session_timeout": 60.0, "consumer_group_instance_id": name} for name in ("one", "two")]
    killed, other = workers(**told, conf=names[0]), workers(**told, conf=names[1])
    killed.until(lambda _: len(held_by(killed)) == len(held_by(other)) == 2)
    held, begun = held_by(killed), other.of("begin")
    cluster.numbers(topic, range(400), partitions=4)
    killed.until(lambda _: total(killed) == total(other) == 200)

    killed.kill()
    cluster.numbers(topic, range(400), partitions=4)
    follower = workers(**told, conf=names[0])

    follower.until(lambda _: held_by(follower) == held)
    other.until(lambda _: total(other) == 400)
    follower.until(lambda _: {each["partition"] for each in follower.of("slice") if each["end"] == 200} == held)
    assert other.of("begin") == begun
    assert follower.stop() == 0
    other.until(lambda _: len(held_by(other)) == 4)
    assert other.stop() == 0
    assert cluster.committed(topic, 4) == [200] * 4


def held_by(worker):
    """The partitions that a worker holds."""
    held = set()
    for each in worker.said:
        match each:
            case {"say": "begin", "partition": partition}:
                held.add(partition)
            case {"say": "release", "partitions": partitions}:
                held.difference_update(partitions)
    return held


def states(directory):
    return [json.loads(file.read_text()) for file in sorted(directory.glob("?"))]


def test_a_worker_begins_exactly_where_it_chooses_also_within_a_batch_and_before_what_is_committed(cluster, workers):
    topic = cluster.topic(partitions=3)
    cluster.numbers(topic, range(300), partitions=3)

    worker = workers(**cluster.told(topic, starts={"0": 57, "1": 99}))
    worker.until(numbers_seen(worker, 144))
    assert worker.stop() == 0
    again = workers(**cluster.told(topic, starts={"0": 30}))
    again.until(numbers_seen(again, 70))
    cluster.numbers(topic, [0, 1, 2], partitions=3)
    again.until(numbers_seen(again, 73))

    assert sorted((each["partition"], each["offset"]) for each in worker.of("begin")) == [(0, 57), (1, 99), (2, 0)]
    assert min(offset for partition, offset in worker.taken() if partition == 0) == 57
    assert sorted((each["partition"], each["offset"]) for each in again.of("begin")) == [(0, 30), (1, 100), (2, 100)]
    assert again.stop() == 0
    assert_slices_follow_each_other(again)
    assert cluster.committed(topic, 3) == [101, 101, 101]


def test_an_error_ends_the_worker_with_the_slice_uncommitted_and_nothing_released(cluster, workers):
    topic = cluster.topic()
    for number in range(5):
        cluster.numbers(topic, [number])
    told = cluster.told(topic, conf={"broker_max_poll_records": 1})

    failing = workers(**told, fail_at=7)
    failing.until(numbers_seen(failing, 5))
    cluster.numbers(topic, [5, 6])
    failing.until(numbers_seen(failing, 7))
    cluster.numbers(topic, [7])

    assert failing.wait() == 1
    assert "told to fail" in failing.errors()
    assert not failing.of("release")
    assert cluster.committed(topic) == [7]
    after = workers(**told)
    after.until(numbers_seen(after, 1))
    assert after.stop() == 0
    assert list(after.taken()) == [(0, 7)]


def test_a_worker_that_stops_ends_its_regular_work_before_it_releases_and_finishes(cluster, workers):
    worker = workers(**cluster.told(cluster.topic(), round=0.5))
    worker.until(lambda _: worker.of("begin") and len(worker.of("round begins")) == 2)

    assert worker.stop() == 0
    steps = [each["say"] for each in worker.said]
    assert [step for step in steps if step != "ends"][-3:] == ["round ends", "release", "finish"]
    assert steps.count("round begins") == steps.count("round ends")


def test_a_worker_that_is_stopped_while_it_prepares_has_nothing_to_finish(cluster, workers):
    worker = workers(**cluster.told(cluster.topic(), round=0, prepare=1.5))
    worker.until(lambda _: worker.of("prepare"))

    assert worker.stop() == 0
    assert not worker.of("finish") + worker.of("round begins")


def test_a_worker_refuses_a_log_that_no_longer_holds_what_comes_next(cluster, workers):
    topic = cluster.topic()
    cluster.numbers(topic, range(10))

    async def delete():
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.servers)
        await admin.start()
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
        await admin.close()

    asyncio.run(delete())
    before = workers(**cluster.told(topic, starts={"0": 3}))
    beyond = workers(**(cluster.told(topic, starts={"0": 11}) | {"group": cluster.group + "-2"}))

    assert before.wait() == 1
    assert "must be read from offset 3 on, but its log holds offsets 5 to 10" in before.errors()
    assert beyond.wait() == 1
    assert "must be read from offset 11 on, but its log holds offsets 5 to 10" in beyond.errors()
    assert not before.of("slice") + beyond.of("slice")


def test_large_messages_and_only_committed_transactions_are_delivered(cluster, workers):
    topic = cluster.topic(max_message_bytes="16000000")
    worker = workers(**cluster.told(topic))

    async def produce():
        producer = AIOKafkaProducer(
            bootstrap_servers=cluster.servers, transactional_id=topic, max_request_size=16_000_000
        )
        async with producer:
            async with producer.transaction():
                await producer.send(topic, b"x" * 15_000_000, partition=0)
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"aborted", partition=0)
            await producer.abort_transaction()
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"open", partition=0)
            await asyncio.to_thread(worker.until, lambda _: ends_seen(worker, {"0": 4}, {"0": 5}))
            assert total(worker) == 1
            await producer.commit_transaction()

    asyncio.run(produce())
    worker.until(numbers_seen(worker, 2))
    worker.until(lambda _: ends_seen(worker, {"0": 6}, {"0": 6}))

    assert [size for each in worker.of("slice") for size in each["sizes"]] == [15_000_000, 4]
    assert worker.taken() == {(0, 0): 1, (0, 4): 1}
    assert worker.stop() == 0
    assert cluster.committed(topic) == [6]
