"""Newest looks: the last one of each run among the records of `results`, as bytes, until somebody wants to read it."""

from typing import NamedTuple

from evaluation.significance.look import decode_look
from pipeline.kafka.set_aside import SetAside
from schemas.decoding import decode
from schemas.look import Look, LookHead, RunKey
from schemas.records import Records
from schemas.topics import RESULTS


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


def keep_newest(looks: dict[RunKey, NewestLook], records: Records, aside: SetAside) -> set[RunKey]:
    """Put into `looks` what a slice of `results` has that is newer; the runs of those."""
    news = set()
    for row in range(len(records)):
        offset, value = int(records.offset[row]), records.value(row)
        with aside.unless_ours(RESULTS, records.partition, offset):
            head = decode(value, LookHead)
            run = (head.experiment, head.run)
            if run not in looks or head.look > looks[run].number:
                time = int(records.append_time[row])
                looks[run] = NewestLook(head.look, time, value or b"", records.partition, offset)
                news.add(run)
    return news
