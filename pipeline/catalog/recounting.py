"""Recounting: recounts as versions of a document, begun and stopped by people, completed by whoever told the past."""

from collections.abc import Iterable

import msgspec

from evaluation.catalog.in_force import Catalog, InForce, RunInForce
from evaluation.catalog.recounts import coming
from pipeline.catalog.editing import Change, RefusedError, Signature, begun, state_of
from pipeline.catalog.topic import CatalogWriter
from schemas.catalog import Document
from schemas.health import WorkerHealth
from schemas.recount import Recount, RecountHealth, RecountState


async def say(writer: CatalogWriter, run: RunInForce, state: RecountState, why: str | None = None) -> bool:
    """Publish what has become of a generation that was coming; whether it still was.

    Raises what `CatalogWriter.publish` raises.
    """

    def made() -> Document | None:
        if run.generation not in coming(writer.history.newest):
            return None
        spec = Recount(key=run.flag, run=run.key, state=state, why=why)
        return writer.next_version(spec, "peekproof", why or "everything archived was told")

    return await writer.publish_after_others(made) is not None


async def begin(writer: CatalogWriter, key: str, signature: Signature) -> Change:
    """Have a flag's newest run counted again by what its documents say now. Raises RefusedError, and as `publish`."""
    state_of(writer.history, key)
    change = begun(writer.history.newest, key)
    await writer.publish(writer.next_version(change.spec, signature.author, signature.reason))
    return change


async def stop(writer: CatalogWriter, key: str, signature: Signature) -> Change:
    """Give a recount up: the run goes on as it was. Raises RefusedError, and as `publish` does."""
    state_of(writer.history, key)
    catalog = writer.history.newest
    run = next((run for run in coming(catalog).values() if run.flag == key), None)
    if run is None:
        raise RefusedError(f"no run of '{key}' is being recounted; nothing is left to do")
    spec = Recount(key=key, run=run.key, state="stopped")
    await writer.publish(writer.next_version(spec, signature.author, signature.reason))
    return Change("recount", key, catalog.version_of("recount", key) + 1, spec, steps=(f"{run.key} goes on as it was",))


class RecountTold(msgspec.Struct, frozen=True, kw_only=True):
    """A flag's newest recount: what has become of it, since when (ms UTC), and while it is `begun` how far it is.

    `waiting`: why it does not go on; null where it does. `generation`: what comes of it, while it is begun.
    """

    flag: str
    run: str
    state: RecountState
    time: int
    why: str | None = None
    generation: int | None = None
    done: int = 0
    size: int = 0
    seconds_left: float | None = None
    waiting: str | None = None


def recounts_told(catalog: Catalog, heard: Iterable[WorkerHealth]) -> list[RecountTold]:
    """Of every flag that was ever recounted, by what workers said lately."""
    told = {each.generation: each for health in heard for each in health.recounts}
    begun = {run.flag: run.generation for run in coming(catalog).values()}
    return [_told(each, told.get(begun.get(key, 0)), begun.get(key)) for key, each in catalog.recounts.items()]


def _told(said: InForce[Recount], health: RecountHealth | None, generation: int | None) -> RecountTold:
    recount = said.definition
    found = RecountTold(
        flag=recount.key,
        run=recount.run,
        state=recount.state,
        time=said.append_time,
        why=recount.why,
        generation=generation,
    )
    if generation is None:
        return found
    if health is None:
        return msgspec.structs.replace(found, waiting="for a worker of the archive: none speaks of it")
    left = (health.size - health.done) / health.records_per_second if health.records_per_second else None
    return msgspec.structs.replace(found, done=health.done, size=health.size, seconds_left=left, waiting=health.waiting)
