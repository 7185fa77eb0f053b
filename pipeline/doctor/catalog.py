"""Catalog: whether its topic is whole, its size, and the records that were rejected."""

from collections.abc import Iterator, Sized

from evaluation.catalog import overview
from pipeline.doctor.finding import Finding, size
from pipeline.doctor.sight import Sight
from pipeline.quantities import quantity
from schemas.duration import DAY_MS
from schemas.topics import CATALOG

AREA = "catalog"
LARGE = 500_000_000  # bytes: every process reads all of it when it starts


def check(sight: Sight) -> Iterator[Finding]:
    """The topic, and the documents in force."""
    seen = sight.catalog()
    newest, rejected = seen.history.newest, seen.history.rejected
    if seen.begin > 0:
        topic = sight.settings.topic(CATALOG)
        told = f"topic {topic} begins at offset {seen.begin}: it was cut, but it is kept for ever, and nothing starts"
        yield Finding(AREA, "wrong", told, "peekproof restore")
    kinds: dict[str, Sized] = {
        "flag": newest.flags,
        "metric": newest.metrics,
        "group": newest.groups,
        "cohort": newest.cohorts,
        "deployment": newest.deployments,
        "notification rule": newest.notifications,
        "source": newest.sources,
    }
    held = ", ".join(quantity(len(its), kind) for kind, its in kinds.items())
    told = f"{quantity(seen.records, 'record')}, {size(seen.size)}: {held}"
    yield Finding(AREA, "warning" if seen.size > LARGE else "ok", told)
    for flag in newest.flags.values():
        if problem := overview.told_problem(flag):
            yield Finding(AREA, "wrong", problem, "peekproof apply")
    for key, unmet in overview.unmet_of(newest).items():
        told = f"flag '{key}' gives 'off' to everybody but those listed: {'; '.join(unmet)}"
        yield Finding(AREA, "warning", told, f"peekproof flag show {key}")
    if rejected:
        last = rejected[-1]
        is_new = seen.times[last.offset] > max(seen.times.values()) - DAY_MS
        told = (
            f"{quantity(len(rejected), 'record')} changed nothing; the last one, at offset {last.offset}: {last.reason}"
        )
        yield Finding(AREA, "warning" if is_new else "ok", told, "peekproof apply" if is_new else None)
