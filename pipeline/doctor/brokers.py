"""Brokers: where they say that they are, and whether they can be reached there."""

from collections.abc import Iterator

from pipeline.doctor.finding import Finding
from pipeline.doctor.sight import Sight
from pipeline.errors import PeekproofError
from pipeline.kafka.connection import UnreachableError

AREA = "brokers"


def check(sight: Sight) -> Iterator[Finding]:
    """Every broker."""
    try:
        brokers = sight.brokers()
    except PeekproofError as error:
        own = None if isinstance(error, UnreachableError) else "peekproof broker"  # none runs, none is set
        yield Finding(AREA, "wrong", str(error), own)
        return
    for failure in brokers.values():
        if failure:
            yield Finding(AREA, "wrong", failure)
    cluster = sight.found().cluster
    usable = [place for place, failure in brokers.items() if failure is None]
    yield Finding(AREA, "ok", f"cluster {cluster or 'without an id'}: {', '.join(usable)} can be used from here")
