"""`peekproof recover rebuild`: the states of aggregation and identity, made anew from the archive."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from evaluation.catalog.history import History
from pipeline.cli.progress import progress
from pipeline.errors import PeekproofError
from pipeline.kafka.connection import connect
from pipeline.kafka.logs import FOLDS, ClusterTopics
from pipeline.recovery.folding import archived_catalog
from pipeline.recovery.joint import Joint, joint
from pipeline.recovery.rebuild import Rebuild
from pipeline.settings import Settings
from pipeline.stages.kernels import compile_kernels
from pipeline.storage.checkpoints import Checkpoints
from schemas.topics import CATALOG, IDENTITIES, UNITS


class MadeState(msgspec.Struct, frozen=True):
    """The state of one partition: the offset at which its stage goes on, and its watermark (ms UTC)."""

    partition: int
    offset: int
    watermark: int


@click.command()
@click.option("--json", "as_json", is_flag=True, help="What was made, as one JSON document.")
def rebuild(as_json: bool) -> None:
    """Make the states of aggregation and identity anew from the archive; from there on they read their logs.

    For checkpoints that are lost, damaged or of another version: what was made takes their place. Published looks stay
    as they are, and the next ones go on from them. Workers of both must have been stopped.
    """
    settings = Settings.read()
    directory, began = settings.data / "archive", time.monotonic()
    if not directory.is_dir():
        raise PeekproofError(
            f"there is no archive in '{directory}'; PEEKPROOF_DATA names the directory where its worker keeps it"
        )
    with ExitStack() as stack:
        kafka = _kafka(settings, stack)
        if kafka:
            kafka.require_idle()
        history = _catalog(settings, directory, kafka)
        work = Rebuild(directory, history, settings, kafka.logs() if kafka else None)
        compile_kernels()
        tell = stack.enter_context(progress(f"folding {' and '.join(work.made_of)} again", total=work.size))
        made: dict[str, list[MadeState]] = {UNITS: [], IDENTITIES: []}
        for topic, states in ((UNITS, work.states(tell)), (IDENTITIES, work.identities())):
            checkpoints = Checkpoints(settings.checkpoint_location, topic)
            for state in states:
                if kafka:
                    kafka.require_idle()
                found = _found(history, kafka)
                log = found.topics.get(topic, "")
                checkpoints.replace(state.partition, state.offset, state.save(), found.cluster, log)
                made[topic].append(MadeState(state.partition, state.offset, state.watermark))
    if as_json:
        seconds = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time()}
        told = {"made_of": work.made_of, "offsets": work.size, "states": made[UNITS], "identities": made[IDENTITIES]}
        click.echo(msgspec.json.encode(told | seconds))
        return
    for topic, kept in made.items():
        for each in kept:
            click.echo(f"{topic}/{each.partition}: {FOLDS[topic]} goes on at offset {each.offset:,}")
    workers = " and ".join(f"`peekproof worker {FOLDS[topic]}`" for topic, kept in made.items() if kept)
    click.echo(
        f"made of {work.size:,} archived records of {' and '.join(work.made_of)}; start `peekproof up`, or {workers}, "
        "again"
    )


def _kafka(settings: Settings, stack: ExitStack) -> Joint | None:
    """None where it does not answer, which is told."""
    try:
        asyncio.run(connect(settings))
    except PeekproofError as error:
        click.echo(
            f"{error}\nSo the state is made of the archive alone; whether the logs go on where it ends is seen when "
            "aggregation starts",
            err=True,
        )
        return None
    return stack.enter_context(joint(settings))


def _catalog(settings: Settings, directory: Path, kafka: Joint | None) -> History:
    """The topic's, where there is one: it is longer. Raises PeekproofError where the archive has another one."""
    archived = archived_catalog(directory)
    if kafka is None:
        return archived
    same = [(state.offset, state.append_time) for state in kafka.history.states[: len(archived.states)]]
    if same != [(state.offset, state.append_time) for state in archived.states]:
        raise PeekproofError(
            f"the catalog that '{directory}' holds is not that of topic {settings.topic(CATALOG)}: it is the archive "
            "of another installation, or of this one before its topics were deleted and it began anew; see "
            "PEEKPROOF_DATA and PEEKPROOF_PREFIX"
        )
    return kafka.history


def _found(history: History, kafka: Joint | None) -> ClusterTopics:
    """The logs that the states belong to: without Kafka those that the catalog notes."""
    if kafka:
        return kafka.found
    logs = history.newest.logs
    return (
        ClusterTopics(logs.definition.cluster, {topic: log.id for topic, log in logs.definition.topics.items()})
        if logs
        else ClusterTopics("", {})
    )
