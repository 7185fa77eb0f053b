"""Recounts: whether runs that are counted again get on with it."""

from collections.abc import Iterator

from pipeline.catalog.recounting import recounts_told
from pipeline.doctor.finding import Finding, ago
from pipeline.doctor.sight import Sight

AREA = "recounts"
PATIENT_MS = 120_000  # beyond some of the archive's intervals, until one begins, or what failed goes on


def check(sight: Sight) -> Iterator[Finding]:
    """Those that are under way, and those that were stopped because something was missing."""
    heard = sight.heard()
    if not sight.catalog().history.newest.recounts:
        yield Finding(AREA, "ok", "no run was ever counted again")
    told = recounts_told(sight.catalog().history.newest, [word.health for word in heard.living("archive")])
    for each in told:
        name = f"{each.run} of '{each.flag}'"
        if each.state == "begun":
            age = heard.now - each.time
            share = f"{each.done:,} of {each.size:,} records"
            if each.waiting and age > PATIENT_MS + 4 * sight.settings.archive_interval:
                command = "peekproof worker archive" if each.waiting.startswith("for a worker") else None
                told_so = f"{name} is to be counted again since {ago(age / 1_000)}, and waits {each.waiting} ({share})"
                yield Finding(AREA, "warning", told_so, command)
            else:
                yield Finding(AREA, "ok", f"{name} is counted again: {share}")
        elif each.state == "stopped" and each.why:
            yield Finding(AREA, "ok", f"{name} was not counted again, and goes on as it was: {each.why}")
        else:
            yield Finding(AREA, "ok", f"{name}: the last recount is {each.state}")
