"""Management: Amplitude's management API over the catalog, by the functions behind the command line."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import Parameter
from msgspec import UNSET

from evaluation.catalog import InForce, Version
from evaluation.rules import did_you_mean
from pipeline import editing
from pipeline.documents import definition_of
from pipeline.editing import RefusedError, Signature, Step
from pipeline.errors import PeekproofError
from pipeline.http import amplitude
from pipeline.http.access import ADMINISTERING, EDITING, READING, requires
from pipeline.http.amplitude import (
    MOST_AT_ONCE,
    FlagEdit,
    FlagShape,
    HoldoutEdit,
    HoldoutShape,
    MutexEdit,
    MutexShape,
    NewFlag,
    NewHoldout,
    NewMutex,
    SlotEdit,
    VariantShape,
)
from pipeline.http.backend import Backend
from pipeline.http.life import EditRequest, publishing, standing
from schemas.catalog import Definition, Deployment, Flag, Group, Kind, Membership, Variant

Limit = Annotated[int, Parameter(ge=1, le=MOST_AT_ONCE)]
Item = TypeVar("Item")


class _Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An answer of several things; `next_cursor` goes on where it ends."""


class Flags(_Shape, frozen=True, kw_only=True):
    """Flags without metrics, by key."""

    flags: list[FlagShape]
    next_cursor: str | None = None


class Experiments(_Shape, frozen=True, kw_only=True):
    """Flags with metrics, by key."""

    experiments: list[FlagShape]
    next_cursor: str | None = None


class Mutexes(_Shape, frozen=True, kw_only=True):
    """Mutual exclusions, by key."""

    mutexes: list[MutexShape]
    next_cursor: str | None = None


class Holdouts(_Shape, frozen=True, kw_only=True):
    """Holdouts, by key."""

    holdouts: list[HoldoutShape]
    next_cursor: str | None = None


class DeploymentShape(_Shape, frozen=True, kw_only=True):
    """A deployment. Its newest key is told by its first characters, and whole once: in the answer that makes it."""

    id: str
    project_id: str
    label: str
    type: Literal["client", "server"]
    key: str | None
    deleted: bool = False


class Deployments(_Shape, frozen=True, kw_only=True):
    """Deployments, by key."""

    deployments: list[DeploymentShape]
    next_cursor: str | None = None


class NewDeployment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A deployment; its label is its key too, unless that is said."""

    label: str
    type: Literal["client", "server"]
    key: str | None = None
    project_id: str | None = None
    reason: str | None = None


class DeploymentEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another label."""

    label: str
    reason: str | None = None


class Change(_Shape, frozen=True, kw_only=True):
    """A version of any document."""

    kind: Kind
    key: str
    version: int
    created_at: str
    created_by: str
    reason: str


class Changes(_Shape, frozen=True, kw_only=True):
    """Versions in the order in which they were published."""

    versions: list[Change]
    next_cursor: str | None = None


class NewVariant(VariantShape, frozen=True, kw_only=True):
    """A variant and its weight."""

    rollout_weight: int = 1


class VariantEdit(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a variant is to be. What is not said stays."""

    name: str | msgspec.UnsetType | None = UNSET
    description: str | msgspec.UnsetType | None = UNSET
    payload: Any = UNSET
    rollout_weight: int | msgspec.UnsetType = UNSET


class Inclusions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of users or devices, or keys of cohorts."""

    inclusions: list[str]


class Users(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of users or devices."""

    users: list[str]


class CohortKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of cohorts."""

    cohorts: list[str]


class DeploymentKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of deployments."""

    deployments: list[str]


@get("/flags")
async def list_flags(
    backend: Backend,
    key: str | None = None,
    limit: Limit = MOST_AT_ONCE,
    cursor: str | None = None,
    include_archived: Annotated[bool, Parameter(query="includeArchived")] = False,
) -> Flags:
    """Flags without metrics."""
    found, more = _flags(backend, False, key, include_archived, limit, cursor)
    return Flags(flags=found, next_cursor=more)


@get("/experiments")
async def list_experiments(
    backend: Backend,
    key: str | None = None,
    limit: Limit = MOST_AT_ONCE,
    cursor: str | None = None,
    include_archived: Annotated[bool, Parameter(query="includeArchived")] = False,
) -> Experiments:
    """Flags with metrics."""
    found, more = _flags(backend, True, key, include_archived, limit, cursor)
    return Experiments(experiments=found, next_cursor=more)


@get(["/flags/{key:str}", "/experiments/{key:str}"])
async def show_flag(backend: Backend, key: str) -> FlagShape:
    """One flag or experiment."""
    standing(backend, key)
    return _flag_shape(backend, key)


@post("/flags", status_code=200, guards=[requires(EDITING)])
async def create_flag(request: EditRequest, backend: Backend, data: NewFlag) -> FlagShape:
    """Publish a draft, with the variant `on` unless others are said."""
    return await _create_flag(request, backend, data, is_experiment=False)


@post("/experiments", status_code=200, guards=[requires(EDITING)])
async def create_experiment(request: EditRequest, backend: Backend, data: NewFlag) -> FlagShape:
    """Publish a draft, with control and treatment unless other variants are said; it starts once it has metrics."""
    return await _create_flag(request, backend, data, is_experiment=True)


@patch(["/flags/{key:str}", "/experiments/{key:str}"], guards=[requires(EDITING)])
async def edit_flag(request: EditRequest, backend: Backend, key: str, data: FlagEdit) -> FlagShape:
    """Edit the definition, or take a step. 409: it is refused, or wants `yes` to its consequences."""
    state = standing(backend, key)
    step = _step(backend, key, data)
    edited = _sound(lambda: amplitude.edited_flag(state.definition, data))
    if step is not None and edited != state.definition:
        raise ClientException(f"a step ({step}) goes alone; send the other fields in a request of their own")
    if step is None:
        await _edit(request, backend, [edited], data.reason or "edit", data.yes)
    else:
        signature = Signature(request.auth.name, data.reason or data.decision_reason or step)
        is_experiment = request.url.path.startswith("/api/1/experiments/")
        async with publishing():
            await editing.take(
                backend.writer,
                step,
                key,
                signature,
                variant=data.rolled_out_variant,
                as_experiment=is_experiment,
                accept_risks=data.yes,
            )
    return _flag_shape(backend, key)


VARIANTS = ["/flags/{key:str}/variants", "/experiments/{key:str}/variants"]
VARIANT = [f"{path}/{{variant:str}}" for path in VARIANTS]


def _of_variant(path: str) -> list[str]:
    return [f"{variant}/{path}" for variant in VARIANT]


@get(VARIANTS)
async def list_variants(backend: Backend, key: str) -> list[VariantShape]:
    """A flag's variants."""
    return [amplitude.variant_shape(each) for each in standing(backend, key).definition.variants]


@post(VARIANTS, status_code=200, guards=[requires(EDITING)])
async def add_variant(request: EditRequest, backend: Backend, key: str, data: NewVariant) -> FlagShape:
    """Another variant."""
    fields = {"key": data.key, "name": data.name, "description": data.description, "payload": data.payload}
    new = Variant(**fields, weight=data.rollout_weight)
    return await _edit_variants(request, backend, key, [*standing(backend, key).definition.variants, new])


@get(VARIANT)
async def show_variant(backend: Backend, key: str, variant: str) -> VariantShape:
    """One variant."""
    return amplitude.variant_shape(_variant(standing(backend, key).definition, variant))


@patch(VARIANT, guards=[requires(EDITING)])
async def edit_variant(request: EditRequest, backend: Backend, key: str, variant: str, data: VariantEdit) -> FlagShape:
    """Edit a variant."""
    said = {"name": data.name, "description": data.description, "payload": data.payload, "weight": data.rollout_weight}
    fields = {name: field for name, field in said.items() if field is not UNSET}
    return await _edit_variant(request, backend, key, variant, lambda _: fields)


@delete(VARIANT, status_code=200, guards=[requires(EDITING)])
async def remove_variant(request: EditRequest, backend: Backend, key: str, variant: str) -> FlagShape:
    """Take a variant away."""
    definition = standing(backend, key).definition
    _variant(definition, variant)
    return await _edit_variants(request, backend, key, [each for each in definition.variants if each.key != variant])


@get(_of_variant("users"))
async def list_users(backend: Backend, key: str, variant: str) -> list[str]:
    """Ids of the users and devices that always get a variant."""
    return _listed(_variant(standing(backend, key).definition, variant))


@post(_of_variant("users"), status_code=200, guards=[requires(EDITING)])
async def add_users(request: EditRequest, backend: Backend, key: str, variant: str, data: Inclusions) -> FlagShape:
    """Ids that always get it: of users or of devices."""

    def added(before: Variant) -> dict[str, Any]:
        return {name: _union(getattr(before, name), data.inclusions) for name in ("users", "devices")}

    return await _edit_variant(request, backend, key, variant, added)


@delete(_of_variant("users"), status_code=200, guards=[requires(EDITING)])
async def remove_all_users(request: EditRequest, backend: Backend, key: str, variant: str) -> FlagShape:
    """Nobody always gets it, but by cohort."""
    return await _edit_variant(request, backend, key, variant, lambda _: {"users": (), "devices": ()})


@delete(_of_variant("users/{index:int}"), status_code=200, guards=[requires(EDITING)])
async def remove_user(request: EditRequest, backend: Backend, key: str, variant: str, index: int) -> FlagShape:
    """The id at this place of the list, counted from 0, no longer always gets it."""
    listed = _listed(_variant(standing(backend, key).definition, variant))
    if not 0 <= index < len(listed):
        raise NotFoundException(f"'{variant}' of '{key}' lists {len(listed)} ids; there is none at {index}")
    return await _edit_variant(
        request, backend, key, variant, lambda before: _without_users(before, listed[index : index + 1])
    )


@delete(_of_variant("bulk-delete-users"), status_code=200, guards=[requires(EDITING)])
async def remove_users(request: EditRequest, backend: Backend, key: str, variant: str, data: Users) -> FlagShape:
    """These ids no longer always get it."""
    return await _edit_variant(request, backend, key, variant, lambda before: _without_users(before, data.users))


@get(_of_variant("cohorts"))
async def list_cohorts(backend: Backend, key: str, variant: str) -> list[str]:
    """Keys of the cohorts that always get a variant."""
    return [*_variant(standing(backend, key).definition, variant).cohorts]


@post(_of_variant("cohorts"), status_code=200, guards=[requires(EDITING)])
async def add_cohorts(request: EditRequest, backend: Backend, key: str, variant: str, data: Inclusions) -> FlagShape:
    """Cohorts that always get it."""
    return await _edit_variant(
        request, backend, key, variant, lambda before: {"cohorts": _union(before.cohorts, data.inclusions)}
    )


@delete(_of_variant("bulk-delete-cohorts"), status_code=200, guards=[requires(EDITING)])
async def remove_cohorts(request: EditRequest, backend: Backend, key: str, variant: str, data: CohortKeys) -> FlagShape:
    """These cohorts no longer always get it."""
    return await _edit_variant(
        request, backend, key, variant, lambda before: {"cohorts": _difference(before.cohorts, data.cohorts)}
    )


SERVED = ["/flags/{key:str}/deployments", "/experiments/{key:str}/deployments"]


@get(SERVED)
async def list_served(backend: Backend, key: str) -> DeploymentKeys:
    """The deployments that serve a flag; none: all do."""
    return DeploymentKeys([*standing(backend, key).definition.deployments])


@post(SERVED, status_code=200, guards=[requires(EDITING)])
async def serve(request: EditRequest, backend: Backend, key: str, data: DeploymentKeys) -> FlagShape:
    """Deployments that are to serve it too."""
    definition = standing(backend, key).definition
    return await _edit_served(request, backend, definition, _union(definition.deployments, data.deployments))


@delete([f"{path}/{{deployment:str}}" for path in SERVED], status_code=200, guards=[requires(EDITING)])
async def serve_no_more(request: EditRequest, backend: Backend, key: str, deployment: str) -> FlagShape:
    """A deployment that is to serve it no more."""
    definition = standing(backend, key).definition
    if deployment not in definition.deployments:
        raise NotFoundException(f"'{deployment}' is no deployment that '{key}' names")
    left = _difference(definition.deployments, [deployment])
    if not left:
        raise RefusedError(
            f"'{deployment}' is the last deployment that '{key}' names, and without any all would serve it; add one, "
            "or roll the flag back"
        )
    return await _edit_served(request, backend, definition, left)


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
    """Publish a mutual exclusion, and which of its slots its experiments belong to, or nothing."""
    _require_project(backend, data.project_id)
    if data.key in backend.catalog.history.newest.groups:
        raise RefusedError(f"group '{data.key}' exists already; edit it, or choose another key")
    group = _sound(lambda: amplitude.new_group(data, request.auth.name))
    slots = {number: slot.experiments for number, slot in enumerate(data.slots, 1)}
    await _edit(request, backend, [group, *_moved(backend, data.key, slots)], data.reason or "create", data.yes)
    return _mutex_shape(backend, data.key)


@patch("/mutexes/{key:str}", guards=[requires(EDITING)])
async def edit_mutex(request: EditRequest, backend: Backend, key: str, data: MutexEdit) -> MutexShape:
    """Edit what it is called."""
    group = _group(backend, key, "mutual-exclusion").definition
    await _edit(
        request, backend, [_sound(lambda: amplitude.edited_group(group, data))], data.reason or "edit", data.yes
    )
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
    edited = _sound(lambda: amplitude.edited_group(group, amplitude.GroupFields(), slots))
    moved = [] if data.experiments is UNSET else _moved(backend, key, {number: data.experiments})
    await _edit(request, backend, [edited, *moved], data.reason or "edit", data.yes)
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
    """Publish a holdout, and that its experiments belong to it, or nothing."""
    _require_project(backend, data.project_id)
    if data.key in backend.catalog.history.newest.groups:
        raise RefusedError(f"group '{data.key}' exists already; edit it, or choose another key")
    group = _sound(lambda: amplitude.new_group(data, request.auth.name))
    moved = _moved(backend, data.key, {0: data.experiments})
    await _edit(request, backend, [group, *moved], data.reason or "create", data.yes)
    return _holdout_shape(backend, data.key)


@patch("/holdouts/{key:str}", guards=[requires(EDITING)])
async def edit_holdout(request: EditRequest, backend: Backend, key: str, data: HoldoutEdit) -> HoldoutShape:
    """Edit what it is called, its experiments, and who is always held out."""
    group = _group(backend, key, "holdout").definition
    slots = group.slots
    if data.individual_inclusion is not UNSET:
        slots = (msgspec.structs.replace(slots[0], users=tuple(data.individual_inclusion)),)
    edited = _sound(lambda: amplitude.edited_group(group, data, slots))
    moved = [] if data.experiments is UNSET else _moved(backend, key, {0: data.experiments})
    await _edit(request, backend, [edited, *moved], data.reason or "edit", data.yes)
    return _holdout_shape(backend, key)


@get("/deployments")
async def list_deployments(backend: Backend, limit: Limit = MOST_AT_ONCE, cursor: str | None = None) -> Deployments:
    """Deployments."""
    keys, more = _page(sorted(backend.catalog.history.newest.deployments), limit, cursor)
    return Deployments(deployments=[_deployment_shape(backend, key) for key in keys], next_cursor=more)


@post("/deployments", status_code=200, guards=[requires(ADMINISTERING)])
async def create_deployment(request: EditRequest, backend: Backend, data: NewDeployment) -> DeploymentShape:
    """Publish a deployment, and make a key for it, which is told this once."""
    key = data.key or data.label
    _require_project(backend, data.project_id)
    value = {"key": key, "name": data.label, "owner": request.auth.name, "type": data.type}
    definition = _sound(lambda: definition_of(value, Deployment))
    async with publishing():
        await editing.create(backend.writer, definition, Signature(request.auth.name, data.reason or "create"))
    _, text = backend.access.keys.create(data.type, request.auth.name, key)
    return msgspec.structs.replace(_deployment_shape(backend, key), key=text)


@patch("/deployments/{key:str}", guards=[requires(ADMINISTERING)])
async def edit_deployment(request: EditRequest, backend: Backend, key: str, data: DeploymentEdit) -> DeploymentShape:
    """Edit its label."""
    standing_one = backend.catalog.history.newest.deployments.get(key)
    if standing_one is None:
        raise NotFoundException(f"'{key}' is no deployment of the catalog")
    value = amplitude.written(standing_one.definition) | {"name": data.label}
    await _edit(request, backend, [_sound(lambda: definition_of(value, Deployment))], data.reason or "edit", True)
    return _deployment_shape(backend, key)


@get("/versions")
async def list_changes(
    backend: Backend,
    start: int | None = None,
    end: int | None = None,
    limit: Limit = MOST_AT_ONCE,
    cursor: Annotated[str | None, Parameter(pattern=r"^[0-9]{1,15}$")] = None,
) -> Changes:
    """Versions of all documents, of those published from `start` to before `end` (ms UTC)."""
    after = -1 if cursor is None else int(cursor)
    found = [
        each
        for each in backend.catalog.history.versions
        if each.offset > after and (start or 0) <= each.append_time and (end is None or each.append_time < end)
    ]
    more = str(found[limit - 1].offset) if len(found) > limit else None
    return Changes(versions=[_change(each) for each in found[:limit]], next_cursor=more)


management = Router(
    "/api/1",
    route_handlers=[
        list_flags,
        list_experiments,
        show_flag,
        create_flag,
        create_experiment,
        edit_flag,
        list_variants,
        add_variant,
        show_variant,
        edit_variant,
        remove_variant,
        list_users,
        add_users,
        remove_all_users,
        remove_user,
        remove_users,
        list_cohorts,
        add_cohorts,
        remove_cohorts,
        list_served,
        serve,
        serve_no_more,
        list_mutexes,
        show_mutex,
        create_mutex,
        edit_mutex,
        edit_slot,
        list_holdouts,
        show_holdout,
        create_holdout,
        edit_holdout,
        list_deployments,
        create_deployment,
        edit_deployment,
        list_changes,
    ],
    guards=[requires(READING)],
    tags=["management"],
)


def _flags(  # noqa: PLR0917
    backend: Backend, are_experiments: bool, key: str | None, with_archived: bool, limit: int, cursor: str | None
) -> tuple[list[FlagShape], str | None]:
    flags = backend.catalog.history.newest.flags
    found = [
        each
        for each, flag in sorted(flags.items())
        if bool(flag.definition.metrics) == are_experiments
        and key in (None, each)
        and flag.removed != "deleted"
        and (with_archived or not flag.removed)
    ]
    page, more = _page(found, limit, cursor)
    ends = _ends(backend, "flag")
    return [amplitude.flag_shape(flags[each], *ends[each], _project(backend)) for each in page], more


def _page(keys: Sequence[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """The first `limit` of the keys (ascending) behind the cursor, and the cursor of the next page."""
    rest = [key for key in keys if cursor is None or key > cursor]
    return rest[:limit], rest[limit - 1] if len(rest) > limit else None


def _ends(backend: Backend, kind: Kind) -> dict[str, tuple[Version, Version]]:
    """The first and the newest version of every document of a kind."""
    ends: dict[str, tuple[Version, Version]] = {}
    for version in backend.catalog.history.versions:
        if version.document.kind == kind:
            key = version.document.key
            ends[key] = (ends[key][0] if key in ends else version, version)
    return ends


def _flag_shape(backend: Backend, key: str) -> FlagShape:
    flag = backend.catalog.history.newest.flags[key]
    return amplitude.flag_shape(flag, *_ends(backend, "flag")[key], _project(backend))


def _mutex_shape(backend: Backend, key: str) -> MutexShape:
    members, ends = backend.catalog.history.newest.known.flags.values(), _ends(backend, "group")[key]
    return amplitude.mutex_shape(_group(backend, key, "mutual-exclusion"), members, *ends, _project(backend))


def _holdout_shape(backend: Backend, key: str) -> HoldoutShape:
    members, ends = backend.catalog.history.newest.known.flags.values(), _ends(backend, "group")[key]
    return amplitude.holdout_shape(_group(backend, key, "holdout"), members, *ends, _project(backend))


def _deployment_shape(backend: Backend, key: str) -> DeploymentShape:
    definition = backend.catalog.history.newest.deployments[key].definition
    ids = [each.id for each in backend.access.keys.all() if each.deployment == key]
    return DeploymentShape(
        id=key,
        project_id=_project(backend),
        label=definition.name or key,
        type=definition.type,
        key=f"{ids[-1]}…" if ids else None,
    )


def _change(version: Version) -> Change:
    document = version.document
    return Change(
        kind=document.kind,
        key=document.key,
        version=document.version,
        created_at=amplitude.iso(version.append_time),
        created_by=document.author,
        reason=document.reason,
    )


def _project(backend: Backend) -> str:
    return backend.settings.prefix or "default"


def _require_project(backend: Backend, said: str | None) -> None:
    if said not in (None, _project(backend)):
        raise ClientException(f"projectId: there is one project here, '{_project(backend)}'; leave it out")


def _sound(make: Callable[[], Item]) -> Item:
    """What is made of a request. Raises ClientException with what is wrong with it."""
    try:
        return make()
    except PeekproofError as error:
        raise ClientException(str(error)) from None


async def _edit(
    request: EditRequest, backend: Backend, definitions: Sequence[Definition], reason: str, accept_risks: bool = False
) -> None:
    async with publishing():
        await editing.edit(backend.writer, definitions, Signature(request.auth.name, reason), accept_risks)


async def _create_flag(request: EditRequest, backend: Backend, data: NewFlag, is_experiment: bool) -> FlagShape:
    _require_project(backend, data.project_id)
    definition = _sound(lambda: amplitude.new_flag(data, request.auth.name, is_experiment))
    async with publishing():
        await editing.create(backend.writer, definition, Signature(request.auth.name, data.reason or "create"))
    return _flag_shape(backend, definition.key)


def _step(backend: Backend, key: str, said: FlagEdit) -> Step | None:
    """The step that an edit asks for; what is so already asks for none."""
    flag = backend.catalog.history.newest.flags[key]
    wanted: list[tuple[bool, Step]] = [
        (said.decision == "rollout", "rollout"),
        (said.decision == "rollback", "rollback"),
        (said.enabled is True and flag.allocation is None, "start"),
        (said.enabled is False and flag.allocation is not None, "rollback"),
        (said.archive is True and not flag.removed, "archive"),
        (said.archive is False and flag.removed is not None, "restore"),
    ]
    steps = [*dict.fromkeys(step for is_wanted, step in wanted if is_wanted)]
    if len(steps) > 1:
        raise ClientException(f"{' and '.join(steps)} are two steps; send them one after the other")
    return steps[0] if steps else None


def _variant(definition: Flag, key: str) -> Variant:
    for each in definition.variants:
        if each.key == key:
            return each
    known = ", ".join(each.key for each in definition.variants)
    raise NotFoundException(f"'{key}' is no variant of '{definition.key}'; its variants are {known}")


async def _edit_variant(
    request: EditRequest, backend: Backend, key: str, variant: str, change: Callable[[Variant], dict[str, Any]]
) -> FlagShape:
    definition = standing(backend, key).definition
    before = _variant(definition, variant)
    after = msgspec.structs.replace(before, **change(before))
    return await _edit_variants(
        request, backend, key, [after if each is before else each for each in definition.variants]
    )


async def _edit_variants(request: EditRequest, backend: Backend, key: str, variants: Iterable[Variant]) -> FlagShape:
    value = amplitude.written(standing(backend, key).definition) | {"variants": amplitude.written([*variants])}
    await _edit(request, backend, [_sound(lambda: definition_of(value, Flag))], "edit")
    return _flag_shape(backend, key)


async def _edit_served(
    request: EditRequest, backend: Backend, definition: Flag, deployments: tuple[str, ...]
) -> FlagShape:
    value = amplitude.written(definition) | {"deployments": [*deployments]}
    await _edit(request, backend, [_sound(lambda: definition_of(value, Flag))], "edit")
    return _flag_shape(backend, definition.key)


def _listed(variant: Variant) -> list[str]:
    """The ids that always get a variant, of users and of devices, each once."""
    return [*_union(variant.users, variant.devices)]


def _without_users(before: Variant, ids: Iterable[str]) -> dict[str, Any]:
    return {name: _difference(getattr(before, name), ids) for name in ("users", "devices")}


def _union(before: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *more]))


def _difference(before: Iterable[str], less: Iterable[str]) -> tuple[str, ...]:
    gone = set(less)
    return tuple(each for each in before if each not in gone)


def _group(backend: Backend, key: str, kind: str) -> InForce[Group]:
    found = backend.catalog.history.newest.groups.get(key)
    if found is None or found.definition.type != kind:
        raise NotFoundException(f"'{key}' is no {kind} of the catalog")
    return found


def _groups(backend: Backend, kind: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    groups = backend.catalog.history.newest.groups
    return _page([key for key, group in sorted(groups.items()) if group.definition.type == kind], limit, cursor)


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
