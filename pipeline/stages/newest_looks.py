"""Newest looks: the last one of each run among the records of `results`, as bytes, until somebody wants to read it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from aiokafka import ConsumerRecord

from evaluation.catalog.logs import LogsInForce
from evaluation.significance.look import decode_look
from pipeline.kafka.set_aside import SetAside
from schemas.decoding import decode
from schemas.look import Look, LookHead, RunKey
from schemas.records import Records
from schemas.topics import RESULTS, SourcePartition

Standing = tuple[int, int, int, bytes | None]  # partition, offset, append time (ms UTC), value


class NewestLook(NamedTuple):
    """The newest look at a run, when it was appended (ms UTC), and where it stands on the topic."""

    number: int
    append_time: int
    value: bytes
    partition: int
    offset: int

    def read(self, aside: SetAside) -> Look | None:
        """The look; None where it is none that can be read here, which is set aside."""
        with aside.unless_ours(RESULTS, self.partition, self.offset):
            return decode_look(self.value)
        return None


def keep_newest(looks: dict[RunKey, NewestLook], records: Iterable[Standing], aside: SetAside) -> set[RunKey]:
    """Put into `looks` what records of `results` have that is newer; the runs of those."""
    news = set()
    for partition, offset, time, value in records:
        with aside.unless_ours(RESULTS, partition, offset):
            head = decode(value, LookHead)
            run = (head.experiment, head.run)
            if run not in looks or head.look > looks[run].number:
                looks[run] = NewestLook(head.look, time, value or b"", partition, offset)
                news.add(run)
    return news


def standing(records: Records | list[ConsumerRecord]) -> Iterator[Standing]:
    """Each record, and where and since when it stands."""
    if isinstance(records, list):
        yield from ((each.partition, each.offset, each.timestamp, each.value) for each in records)
        return
    times = zip(records.offset.tolist(), records.append_time.tolist(), strict=True)
    yield from ((records.partition, offset, time, records.value(row)) for row, (offset, time) in enumerate(times))


def first_read(begins: Mapping[int, int], source: SourcePartition, earliest: int, logs: LogsInForce | None) -> int:
    """Where to begin in a partition of `results`, of whose newest looks before that is known."""
    begin = begins.get(source[1], 0)
    return max(earliest, begin + (logs.base(*source) if logs else 0))
