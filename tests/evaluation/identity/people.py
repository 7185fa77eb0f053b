"""People: what visitors and users send, through assignment, the identity stage and aggregation, without a broker."""

import random

import msgspec
import xxhash

from evaluation.assignment.routing import assign
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.stages.gathering import Gathering
from schemas.topics import EVENTS, EXPOSURES, IDENTITIES
from tests.evaluation.appended import appended

SOURCES = ((EXPOSURES, 0), (EVENTS, 0), (EVENTS, 1))


def hash_of(kind, name):
    """The hash of a unit or an identity, by another implementation."""
    return xxhash.xxh64(f"{kind}\0{name}".encode()).intdigest()


def id_of(topic, partition, offset, insert_id):
    """A record's id, by another implementation."""
    return xxhash.xxh64((insert_id or f"{topic}/{partition}/{offset}/0").encode()).intdigest()


class Stages:
    """Logs that keep all, and one worker of each stage; `partitions` of `units` and of `identities`."""

    def __init__(self, history, horizon, partitions=1, tolerance=None):
        self.history, self.horizon, self.tolerance = history, horizon, tolerance or horizon
        self.logs = {source: [] for source in SOURCES}
        self.position = dict.fromkeys(SOURCES, 0)
        self.identities = [[] for _ in range(partitions)]
        self.units = [[] for _ in range(partitions)]
        self.assigning = Gathering(partitions, horizon, len(SOURCES))
        for source in SOURCES:
            self.assigning.begin(source, 0)
        self.people = [Identities(number, horizon) for number in range(partitions)]
        self.partitions = [Partition(number, horizon) for number in range(partitions)]
        self.telling = self._telling()

    def _telling(self):
        gathering = Gathering(len(self.units), self.horizon, len(self.people))
        for each in self.people:
            gathering.begin((IDENTITIES, each.partition), each.offset)
        return gathering

    def append(self, source, time, message):
        """A record on one of the sources; the hash of its id."""
        log = self.logs[source]
        name = id_of(*source, len(log), message.get("insert_id"))
        log.append((time, msgspec.json.encode(message)))
        return name

    def assign(self, source, size=1_000_000):
        """Assignment reads so many records of a source."""
        begin = self.position[source]
        some = self.logs[source][begin : begin + size]
        records = appended(source, begin, some)
        for assigned in assign(records, self.history, self.horizon, self.tolerance):
            self.assigning.add(source, assigned)
        self.position[source] = begin + len(some)

    def reach(self, now):
        """What was read to its end is quiet until now."""
        for source, log in self.logs.items():
            if self.position[source] == len(log):
                self.assigning.reach(source, now, self.history.newest.offset)

    def tell(self):
        """Assignment sends what it gathered."""
        _, units = self.assigning.cut()
        identities = self.assigning.cut_identities()
        for log, message in zip([*self.units, *self.identities], [*units, *identities], strict=True):
            log.append(message)

    def resolve(self, number, messages=1_000_000):
        """The identity stage folds so many messages of a partition."""
        log, people = self.identities[number], self.people[number]
        for offset in range(people.offset, min(len(log), people.offset + messages)):
            self.telling.add((IDENTITIES, number), people.fold(offset, log[offset], self.history.at_offset))

    def attribute(self):
        """The identity stage sends what it gathered."""
        for log, message in zip(self.units, self.telling.cut()[1], strict=True):
            log.append(message)

    def fold(self, number):
        """Aggregation folds what was sent."""
        partition = self.partitions[number]
        for offset in range(partition.offset, len(self.units[number])):
            partition.fold(offset, self.units[number][offset], self.history.at_offset)

    def fall(self, checkpoints):
        """The identity stage's worker falls, and another one goes on from checkpoints; what was gathered is lost."""
        self.people = [Identities.load(each) for each in checkpoints]
        self.telling = self._telling()

    def finish(self, now):
        """Everything is read and told until now."""
        for source in SOURCES:
            self.assign(source)
        self.reach(now)
        while True:
            self.tell()
            for number in range(len(self.people)):
                self.resolve(number)
            if all(each.watermark == now - self.horizon for each in self.people):
                break
        self.attribute()
        for number in range(len(self.units)):
            self.fold(number)

    def aggregates(self, run="visitors"):
        """What a flag's run comes to in all partitions."""
        return [each for partition in self.partitions for each in partition.aggregates() if each.flag == run]


def wander(stages, chance, now):
    """Some worker of some stage does something."""
    match chance.randrange(10):
        case 0 | 1 | 2:
            stages.assign(chance.choice(SOURCES), chance.choice([1, 2, 7, 50]))
            if chance.random() < 0.3:
                stages.reach(now)
        case 3 | 4:
            stages.tell()
        case 5:
            stages.resolve(chance.randrange(len(stages.people)), chance.choice([1, 2, 50]))
        case 6:
            stages.attribute()
        case 7:
            number = chance.randrange(len(stages.partitions))
            stages.fold(number)
            if chance.random() < 0.4:
                stages.partitions[number].aggregates()
            if chance.random() < 0.4:
                stages.partitions[number] = Partition.load(stages.partitions[number].save())
        case 8:
            stages.finish(now)
        case 9:
            if chance.random() < 0.5:
                stages.attribute()  # a state is saved when what follows from it is sent
                stages.checkpoints = [each.save() for each in stages.people]
            elif chance.random() < 0.5 and hasattr(stages, "checkpoints"):
                stages.fall(stages.checkpoints)


def a_random(seed):
    """Chance by a seed."""
    return random.Random(seed)
