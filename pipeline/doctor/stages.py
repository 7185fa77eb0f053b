"""Stages: who works on each, how far behind, what ended those that fell, and what a start would refuse."""

import time
from collections.abc import Collection, Iterator

import duckdb

from evaluation.plans.upstream import LATE_MS, MANY
from pipeline.doctor.finding import Finding, ago, command_in, several
from pipeline.doctor.health import Heard, Word
from pipeline.doctor.positions import start
from pipeline.doctor.sight import Sight, UnseenError
from pipeline.errors import PeekproofError
from pipeline.kafka.set_aside import COUNTED_AS
from pipeline.notifications.lanes import HANDOVERS
from pipeline.owner import OwnerError, held_since, holder
from pipeline.quantities import quantity
from pipeline.stages import STAGES, stage_class
from pipeline.storage.archived import ArchiveGapError
from schemas.health import PartitionHealth
from schemas.topics import SourcePartition

AREA = "stages"
LATELY_SECONDS = 600.0  # a fall is news
STARTING_SECONDS = 600.0  # within which a worker that compiles has spoken, on whatever machine
COUNTED = ("dead letters", HANDOVERS, COUNTED_AS, "acts that")
LOG_END = 20_000  # bytes of a worker's log in which its last error is looked for


def check(sight: Sight) -> Iterator[Finding]:
    """Every stage, in the order data flows; then what holds back the watermark."""
    try:
        heard, there = sight.heard(), sight.extents().keys()
    except PeekproofError as error:
        yield Finding(AREA, "unknown", f"who works on them: {error}")
        for stage in STAGES:
            yield from _start(sight, stage, is_alive=False)
        return
    for stage in STAGES:
        yield from _workers(sight, heard, stage, there)
        yield from _start(sight, stage, is_alive=bool(heard.living(stage)))
    yield from _clock(sight, heard)


def _workers(sight: Sight, heard: Heard, stage: str, there: Collection[SourcePartition]) -> Iterator[Finding]:
    """Who works, and what was said at the end of those that don't."""
    living, falls = heard.living(stage), [word for word in heard.falls if word.health.stage == stage]
    command = sight.starts(stage)
    if not living:
        if (starts := _starts(sight, heard, stage)) is not None:
            yield Finding(AREA, "unknown", f"{stage}: {starts}")
            return
        told = f"{stage}: nobody works on it; {_end(sight, heard, stage)}"
        if supervisor := holder(sight.settings.data / "logs"):
            yield Finding(AREA, "wrong", f"{told}; `peekproof up`, {supervisor}, starts it again", command_in(told))
        else:
            yield Finding(AREA, "wrong", told, command_in(told) or command)
        return
    lag = sum(each.lag for each in _partitions(living).values())
    workers = f"{len(living)} workers" if len(living) > 1 else f"{living[0].health.worker} works"
    counts = {what: sum(word.health.counts.get(what, 0) for word in living) for what in _counted(living)}
    told = "".join(f", {number} {what}" for what, number in counts.items())
    yield Finding(
        AREA, "warning" if lag > MANY else "ok", f"{stage}: {workers}, {quantity(lag, 'record')} behind{told}"
    )
    if lost := counts.get(f"{HANDOVERS}given up"):
        told = f"{stage} has given up {lost} handovers of notifications: `peekproof notifications` names the places"
        yield Finding(AREA, "warning", told, "peekproof notifications")
    aside = {what.removeprefix(COUNTED_AS): n for what, n in counts.items() if what.startswith(COUNTED_AS)}
    if aside:
        of_topics = ", ".join(f"{number} of {topic}" for topic, number in aside.items())
        told = f"{stage} has set aside {of_topics}, which are no messages of ours; its log names each with its offset"
        yield Finding(AREA, "warning", told)
    waiting = {topic: why for word in living for topic, why in word.health.waiting.items()}
    for topic, why in sorted(waiting.items()):
        told = f"{stage}: topic {sight.settings.topic(topic)}, of a source, is not read: {why}"
        told += "; `paused: true` in the source's file ends the waiting"
        yield Finding(AREA, "warning", told, command_in(why))
    if falls:
        last = falls[-1]
        since = (heard.now - last.time) / 1_000
        fell = f"{quantity(len(falls), 'worker')} fell in the last {_span(heard)}"
        told = f"{stage}: {fell}, {ago(since)} ago: {last.health.error}"
        yield Finding(AREA, "warning" if since < LATELY_SECONDS else "ok", told, command_in(told))
    unread = sorted(
        f"{sight.settings.topic(topic)}/{partition}"
        for topic, partition in there
        if topic in stage_class(stage).topics and (topic, partition) not in _partitions(living)
    )
    if unread:
        told = f"{stage}: nobody reads {several(unread, 'partitions')}; if that is so in a minute too, restart a worker"
        yield Finding(AREA, "warning", told, command)


def _counted(living: list[Word]) -> list[str]:
    return sorted({what for word in living for what in word.health.counts if what.startswith(COUNTED)})


def _partitions(living: list[Word]) -> dict[tuple[str, int], PartitionHealth]:
    """By whoever spoke of each partition last."""
    spoken = sorted(living, key=lambda word: word.time)
    return {(each.topic, each.partition): each for word in spoken for each in word.health.partitions}


def _starts(sight: Sight, heard: Heard, stage: str) -> str | None:
    """That its worker is being started here, if so: `peekproof up` began lately, and none has spoken since."""
    logs = sight.settings.data / "logs"
    if not (supervisor := holder(logs)):
        return None
    began = held_since(logs)
    since = time.time() - began
    if since > STARTING_SECONDS or any(word.time > began * 1_000 for word in heard.of(stage)):
        return None
    return (
        f"it is being started: `peekproof up`, {supervisor}, began {ago(since)} ago. The first start compiles kernels, "
        "which takes a minute, or several where much else goes on"
    )


def _end(sight: Sight, heard: Heard, stage: str) -> str:
    """What is known of the end of its last worker."""
    words = heard.of(stage)
    if not words:
        is_new = heard.now - heard.since < 1_000
        told = "nothing was heard of it yet" if is_new else f"nothing was heard of it in the last {_span(heard)}"
    else:
        last = words[0]
        since = f"{ago((heard.now - last.time) / 1_000)} ago"
        if last.health.error is not None:
            return f"{last.health.worker} ended {since}: {last.health.error}"
        if last.health.ended:
            return f"{last.health.worker} ended {since}, as it was asked to"
        told = (
            f"{last.health.worker} spoke last {since} and said no word at its end: it was killed, hangs or is cut off"
        )
    said = _logged(sight, stage)
    return f"{told}; {said}" if said else told


def _span(heard: Heard) -> str:
    return ago((heard.now - heard.since) / 1_000)


def _logged(sight: Sight, stage: str) -> str | None:
    """The last error in the newest log of a worker that `peekproof up` started here."""
    logs = sight.settings.data / "logs"
    try:
        newest = max(logs.glob(f"{stage}-*.log"), key=lambda path: path.stat().st_mtime, default=None)
        if newest is None:
            return None
        with newest.open("rb") as file:
            file.seek(max(0, newest.stat().st_size - LOG_END))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    errors = [line for line in lines if "Error" in line and not line.startswith((" ", "["))]
    return f"its log {newest} says: {errors[-1]}" if errors else f"its log is {newest}"


def _start(sight: Sight, stage: str, *, is_alive: bool) -> Iterator[Finding]:
    """What a start would refuse; where nobody works, how much waits."""
    try:
        met = start(sight, stage)
    except OwnerError:
        return  # it is at work, and refused nothing
    except (UnseenError, ArchiveGapError, duckdb.Error):
        return  # told where it is looked at: with brokers and topics, the archive, the snapshot
    except (PeekproofError, OSError) as error:
        yield Finding(AREA, "unknown", f"{stage}: where it would go on cannot be seen: {error}")
        return
    for refusals in met.refusals.values():
        yield Finding(AREA, "wrong", several(refusals, "partitions"), command_in(refusals[0]))
    if met.unread:
        told = (
            f"{stage}: its group has no offset of {several(sorted(met.unread), 'partitions')}, and that log has lost "
            "its beginning: what it held before may never have been read"
        )
        yield Finding(AREA, "warning", told, "peekproof recover accept-gap")
    if met.waiting and not is_alive:
        command = None if holder(sight.settings.data / "logs") else sight.starts(stage)
        waits = quantity(met.waiting, "record waits", "records wait")
        yield Finding(AREA, "warning", f"{stage}: {waits} for it", command)


def _clock(sight: Sight, heard: Heard) -> Iterator[Finding]:
    """Which source holds back the watermark, on which windows are settled."""
    living = heard.living("assignment")
    if not living:
        return  # told above: nothing moves it
    sources = _partitions(living)
    last, held = min(((each.watermark, each) for each in sources.values()), key=lambda pair: pair[0], default=(0, None))
    if held is None:
        return
    place = f"{sight.settings.topic(held.topic)}/{held.partition}"
    behind = (heard.now - last) / 1_000
    if last and behind < LATE_MS / 1_000:
        yield Finding(AREA, "ok", f"the watermark is {ago(behind)} behind")
        return
    told = f"the watermark is {ago(behind)} behind" if last else "the watermark is not known yet"
    waits = quantity(held.lag, "record waits", "records wait")
    told += f", and the results of every run wait: {place} holds it back, of which {waits}"
    why = next((word.health.waiting[held.topic] for word in living if held.topic in word.health.waiting), None)
    yield Finding(AREA, "wrong" if why else "warning", f"{told}: {why}" if why else told, command_in(why or ""))
