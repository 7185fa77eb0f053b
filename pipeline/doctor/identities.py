"""Identities: whether the cluster's topics are the logs that the installation's offsets belong to."""

from collections.abc import Iterator

from pipeline.doctor.finding import Finding, command_in
from pipeline.doctor.sight import Sight
from pipeline.kafka import logs

AREA = "identities"


def check(sight: Sight) -> Iterator[Finding]:
    """As a worker compares the catalog's document with the cluster."""
    found, standing = sight.found(), sight.logs()
    if standing is None:
        told = "the catalog does not say yet which logs there are; the first worker of assignment notes it"
        yield Finding(AREA, "ok", told, sight.starts("assignment"))
        return
    try:
        logs.require(sight.settings, standing, found)
    except logs.LogError as error:
        for line in str(error).splitlines():
            yield Finding(AREA, "wrong", line, command_in(line))
    else:
        yield Finding(AREA, "ok", f"the topics are those of version {standing.version} of the catalog's logs")
    for gap in standing.gaps:
        yield Finding(
            AREA,
            "ok",
            f"accepted: {gap.stage} went on behind offsets {gap.begin} to {gap.end} of {gap.topic}/{gap.partition} "
            f"({gap.reason})",
        )
