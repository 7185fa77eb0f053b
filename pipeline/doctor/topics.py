"""Topics: whether each is as an installation needs it, and whether somebody leads its partitions."""

from collections.abc import Iterator

from pipeline.doctor.finding import Finding, several
from pipeline.doctor.sight import Sight
from pipeline.kafka import topics
from pipeline.kafka.connection import RIGHTS, answering

AREA = "topics"
NO_RIGHT = 29  # Kafka's TOPIC_AUTHORIZATION_FAILED


def check(sight: Sight) -> Iterator[Finding]:
    """As a worker's first step, and the brokers' care for what the topics hold."""
    settings = sight.settings
    described = sight.described()
    hidden = {settings.topic(name) for name, each in described.items() if each["error_code"] == NO_RIGHT}
    if hidden:
        told = f"{', '.join(sorted(hidden))}: this user may not see them; it needs the rights that {RIGHTS} names"
        yield Finding(AREA, "unknown", told)
    with answering(settings):
        differences = topics.differences(sight.admin(), settings)
    found = [each for each in differences if each.topic not in hidden]
    for told, mendable in topics.told(settings, found):
        yield Finding(AREA, "wrong", told, "peekproof topics" if mendable else None)
    leaderless, behind = [], []
    for name, each in described.items():
        for partition in each["partitions"]:
            place = f"{settings.topic(name)}/{partition['partition_index']}"
            if partition["leader_id"] < 0:
                leaderless.append(f"{place} has no leader: nothing is written there or read; see to its brokers")
            elif len(partition["isr_nodes"]) < len(partition["replica_nodes"]):
                copies = f"{len(partition['isr_nodes'])} of {len(partition['replica_nodes'])}"
                behind.append(f"{place}: {copies} copies are up to date; see to its other brokers")
    if leaderless:
        yield Finding(AREA, "wrong", several(leaderless, "partitions"))
    if behind:
        yield Finding(AREA, "warning", several(behind, "partitions"))
    if not (found or hidden or leaderless):
        yield Finding(AREA, "ok", f"{len(described)} topics are as they must be")
