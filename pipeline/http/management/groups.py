"""Groups: mutual exclusions and holdouts, and the experiments that belong to them."""

import msgspec
from litestar import get, patch, post
from litestar.exceptions import ClientException, NotFoundException
from msgspec import UNSET

from evaluation.catalog.in_force import InForce
from evaluation.catalog.rules import did_you_mean
from pipeline.catalog.editing import RefusedError
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.management.edits import edit, ends_of, project_of, require_project, sound
from pipeline.http.management.group_shapes import (
    GroupFields,
    HoldoutEdit,
    HoldoutShape,
    MutexEdit,
    MutexShape,
    NewHoldout,
    NewMutex,
    SlotEdit,
    edited_group,
    holdout_shape,
    mutex_shape,
    new_group,
)
from pipeline.http.management.life import EditRequest
from pipeline.http.management.pages import MOST_AT_ONCE, Limit, Page, page_of
from schemas.catalog import Exempt, Flag, Group, Membership


class Mutexes(Page, frozen=True, kw_only=True):
    """Mutual exclusions, by key."""

    mutexes: list[MutexShape]
    next_cursor: str | None = None


class Holdouts(Page, frozen=True, kw_only=True):
    """Holdouts, by key."""

    holdouts: list[HoldoutShape]
    next_cursor: str | None = None


@get("/mutexes")
async def list_mutexes(backend: Backend, limit: Limit = MOST_AT_ONCE, cursor: str | None = None) -> Mutexes:
    """Mutual exclusions."""
    keys, more = _groups(backend, "mutual-exclusion", limit, cursor)
    return Mutexes(mutexes=[_mutex_shape(backend, key) for key in keys], next_cursor=more)


@get("/mutexes/{key:str}")
async def show_mutex(backend: Backend, key: str) -> MutexShape:
    """One mutual exclusion."""
    _group(backend, key, "mutual-exclusion")
    return _mutex_shape(backend, key)


@post("/mutexes", status_code=200, guards=[requires(EDITING)])
async def create_mutex(request: EditRequest, backend: Backend, data: NewMutex) -> MutexShape:
    """Publish a mutual exclusion, then which of its slots its experiments belong to, all checked beforehand.

    409 tells what stands where one of them was edited meanwhile.
    """
    if any(slot.holdouts for slot in data.slots):
        raise ClientException(
            "slots.holdouts: a slot keeps experiments only; name those of the holdout, they may belong to both"
        )
    await _create(request, backend, data, {number: slot.experiments for number, slot in enumerate(data.slots, 1)})
    return _mutex_shape(backend, data.key)


@patch("/mutexes/{key:str}", guards=[requires(EDITING)])
async def edit_mutex(request: EditRequest, backend: Backend, key: str, data: MutexEdit) -> MutexShape:
    """Edit what it is called."""
    group = _group(backend, key, "mutual-exclusion").definition
    await edit(request, backend, [sound(lambda: edited_group(group, data))], data)
    return _mutex_shape(backend, key)


@patch("/mutexes/{key:str}/slots/{number:int}", guards=[requires(EDITING)])
async def edit_slot(request: EditRequest, backend: Backend, key: str, number: int, data: SlotEdit) -> MutexShape:
    """Edit which experiments and units belong to a slot, counted from 1."""
    group = _group(backend, key, "mutual-exclusion").definition
    if not 1 <= number <= len(group.slots):
        raise NotFoundException(f"'{key}' has slots 1 to {len(group.slots)}; there is no {number}")
    slots = [*group.slots]
    if data.individuals is not UNSET:
        slots[number - 1] = msgspec.structs.replace(slots[number - 1], users=tuple(data.individuals))
    group = msgspec.structs.replace(group, slots=tuple(slots))
    edited = sound(lambda: edited_group(group, GroupFields()))
    moved = [] if data.experiments is UNSET else _moved(backend, key, {number: data.experiments})
    await edit(request, backend, [edited, *moved], data)
    return _mutex_shape(backend, key)


@get("/holdouts")
async def list_holdouts(backend: Backend, limit: Limit = MOST_AT_ONCE, cursor: str | None = None) -> Holdouts:
    """Holdouts."""
    keys, more = _groups(backend, "holdout", limit, cursor)
    return Holdouts(holdouts=[_holdout_shape(backend, key) for key in keys], next_cursor=more)


@get("/holdouts/{key:str}")
async def show_holdout(backend: Backend, key: str) -> HoldoutShape:
    """One holdout."""
    _group(backend, key, "holdout")
    return _holdout_shape(backend, key)


@post("/holdouts", status_code=200, guards=[requires(EDITING)])
async def create_holdout(request: EditRequest, backend: Backend, data: NewHoldout) -> HoldoutShape:
    """Publish a holdout, then that its experiments belong to it, all checked beforehand.

    409 tells what stands where one of them was edited meanwhile.
    """
    await _create(request, backend, data, {0: data.experiments})
    return _holdout_shape(backend, data.key)


@patch("/holdouts/{key:str}", guards=[requires(EDITING)])
async def edit_holdout(request: EditRequest, backend: Backend, key: str, data: HoldoutEdit) -> HoldoutShape:
    """Edit what it is called, its experiments, and who is always or never held out."""
    group = _group(backend, key, "holdout").definition
    if data.individual_inclusion is not UNSET:
        slot = msgspec.structs.replace(group.slots[0], users=tuple(data.individual_inclusion))
        group = msgspec.structs.replace(group, slots=(slot,))
    if data.individual_exclusion is not UNSET:
        exempt = msgspec.structs.replace(group.exempt or Exempt(), users=tuple(data.individual_exclusion))
        group = msgspec.structs.replace(group, exempt=exempt)
    edited = sound(lambda: edited_group(group, data))
    moved = [] if data.experiments is UNSET else _moved(backend, key, {0: data.experiments})
    await edit(request, backend, [edited, *moved], data)
    return _holdout_shape(backend, key)


async def _create(
    request: EditRequest, backend: Backend, data: NewMutex | NewHoldout, experiments: dict[int, list[str]]
) -> None:
    """Publish a group, then which experiments belong to which of its slots. Raises as `editing.edit` does."""
    require_project(backend, data.project_id)
    if data.key in backend.catalog.history.newest.groups:
        raise RefusedError(f"group '{data.key}' exists already; edit it, or choose another key")
    group = sound(lambda: new_group(data, request.auth.name))
    moved = _moved(backend, data.key, experiments)
    await edit(request, backend, [group, *moved], data, "create")


def _mutex_shape(backend: Backend, key: str) -> MutexShape:
    members, ends = backend.catalog.history.newest.known.flags.values(), ends_of(backend, "group")[key]
    return mutex_shape(_group(backend, key, "mutual-exclusion"), members, *ends, project_of(backend))


def _holdout_shape(backend: Backend, key: str) -> HoldoutShape:
    members, ends = backend.catalog.history.newest.known.flags.values(), ends_of(backend, "group")[key]
    return holdout_shape(_group(backend, key, "holdout"), members, *ends, project_of(backend))


def _group(backend: Backend, key: str, kind: str) -> InForce[Group]:
    found = backend.catalog.history.newest.groups.get(key)
    if found is None or found.definition.type != kind:
        raise NotFoundException(f"'{key}' is no {kind} of the catalog")
    return found


def _groups(backend: Backend, kind: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    groups = backend.catalog.history.newest.groups
    return page_of([key for key, group in sorted(groups.items()) if group.definition.type == kind], limit, cursor)


def _moved(backend: Backend, group: str, experiments: dict[int, list[str]]) -> list[Flag]:
    """The flags that are to belong to slots of a group, or no longer to; a holdout's only slot is 0."""
    moved = []
    known = backend.catalog.history.newest.known.flags
    for each in sorted({key for keys in experiments.values() for key in keys} - known.keys()):
        raise ClientException(f"experiments: '{each}' is no flag; {did_you_mean(each, known.keys())}")
    for key, flag in known.items():
        slots = {slot for each in flag.groups if each.group == group for slot in each.slots or (0,)}
        after = (slots - experiments.keys()) | {slot for slot, keys in experiments.items() if key in keys}
        if after != slots:
            others = [each for each in flag.groups if each.group != group]
            named = [Membership(group=group, slots=tuple(sorted(after - {0})))] if after else []
            moved.append(msgspec.structs.replace(flag, groups=(*others, *named)))
    return moved


ROUTES = [
    list_mutexes,
    show_mutex,
    create_mutex,
    edit_mutex,
    edit_slot,
    list_holdouts,
    show_holdout,
    create_holdout,
    edit_holdout,
]
