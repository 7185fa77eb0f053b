"""Variants: those of a flag, and who always gets them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from litestar import delete, get, patch, post
from litestar.exceptions import NotFoundException
from msgspec import UNSET

from pipeline.catalog.types import definition_of
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.management.edits import difference, edit, sound, standing_shape, union
from pipeline.http.management.flag_shapes import FlagShape, VariantShape, variant_shape
from pipeline.http.management.life import EditRequest, standing
from pipeline.http.management.words import Edit, written
from schemas.catalog import Flag, Variant


class VariantEdit(Edit, frozen=True, kw_only=True):
    """What a variant is to be. What is not said stays."""

    name: str | msgspec.UnsetType | None = UNSET
    description: str | msgspec.UnsetType | None = UNSET
    payload: Any = UNSET
    rollout_weight: int | msgspec.UnsetType = UNSET


class NewVariant(VariantEdit, frozen=True, kw_only=True):
    """A variant; its weight is 1 unless that is said."""

    key: str


class Inclusions(Edit, frozen=True, kw_only=True):
    """Ids of users or devices, or keys of cohorts."""

    inclusions: list[str]


class Users(Edit, frozen=True, kw_only=True):
    """Ids of users or devices."""

    users: list[str]


class CohortKeys(Edit, frozen=True, kw_only=True):
    """Keys of cohorts."""

    cohorts: list[str]


VARIANTS = ["/flags/{key:str}/variants", "/experiments/{key:str}/variants"]
VARIANT = [f"{path}/{{variant:str}}" for path in VARIANTS]


def _of_variant(path: str) -> list[str]:
    return [f"{variant}/{path}" for variant in VARIANT]


@get(VARIANTS)
async def list_variants(backend: Backend, key: str) -> list[VariantShape]:
    """A flag's variants."""
    return [variant_shape(each) for each in standing(backend, key).definition.variants]


@post(VARIANTS, status_code=200, guards=[requires(EDITING)])
async def add_variant(request: EditRequest, backend: Backend, key: str, data: NewVariant) -> FlagShape:
    """Another variant."""
    new = Variant(key=data.key, **_said_of(data))
    return await _edit_variants(request, backend, key, [*standing(backend, key).definition.variants, new], data)


@get(VARIANT)
async def show_variant(backend: Backend, key: str, variant: str) -> VariantShape:
    """One variant."""
    return variant_shape(_variant(standing(backend, key).definition, variant))


@patch(VARIANT, guards=[requires(EDITING)])
async def edit_variant(request: EditRequest, backend: Backend, key: str, variant: str, data: VariantEdit) -> FlagShape:
    """Edit a variant."""
    variants = _with(backend, key, variant, lambda _: _said_of(data))
    return await _edit_variants(request, backend, key, variants, data)


@delete(VARIANT, status_code=200, guards=[requires(EDITING)])
async def remove_variant(request: EditRequest, backend: Backend, key: str, variant: str, said: Edit) -> FlagShape:
    """Take a variant away."""
    definition = standing(backend, key).definition
    gone = _variant(definition, variant)
    left = [each for each in definition.variants if each is not gone]
    return await _edit_variants(request, backend, key, left, said)


@get(_of_variant("users"))
async def list_users(backend: Backend, key: str, variant: str) -> list[str]:
    """Ids of the users and devices that always get a variant."""
    return _listed(_variant(standing(backend, key).definition, variant))


@post(_of_variant("users"), status_code=200, guards=[requires(EDITING)])
async def add_users(request: EditRequest, backend: Backend, key: str, variant: str, data: Inclusions) -> FlagShape:
    """Ids that always get it: of users or of devices."""

    def added(before: Variant) -> dict[str, Any]:
        return {name: union(getattr(before, name), data.inclusions) for name in ("users", "devices")}

    return await _edit_variants(request, backend, key, _with(backend, key, variant, added), data)


@delete(_of_variant("users"), status_code=200, guards=[requires(EDITING)])
async def remove_all_users(request: EditRequest, backend: Backend, key: str, variant: str, said: Edit) -> FlagShape:
    """Nobody always gets it, but by cohort."""
    variants = _with(backend, key, variant, lambda _: {"users": (), "devices": ()})
    return await _edit_variants(request, backend, key, variants, said)


@delete(_of_variant("users/{index:int}"), status_code=200, guards=[requires(EDITING)])
async def remove_user(  # noqa: PLR0917 (they come by name)
    request: EditRequest, backend: Backend, key: str, variant: str, index: int, said: Edit
) -> FlagShape:
    """The id at this place of the list, counted from 0, no longer always gets it."""
    listed = _listed(_variant(standing(backend, key).definition, variant))
    if not 0 <= index < len(listed):
        raise NotFoundException(f"'{variant}' of '{key}' lists {len(listed)} ids; there is none at {index}")
    variants = _with(backend, key, variant, lambda before: _without_users(before, listed[index : index + 1]))
    return await _edit_variants(request, backend, key, variants, said)


@delete(_of_variant("bulk-delete-users"), status_code=200, guards=[requires(EDITING)])
async def remove_users(request: EditRequest, backend: Backend, key: str, variant: str, data: Users) -> FlagShape:
    """These ids no longer always get it."""
    variants = _with(backend, key, variant, lambda before: _without_users(before, data.users))
    return await _edit_variants(request, backend, key, variants, data)


@get(_of_variant("cohorts"))
async def list_cohorts(backend: Backend, key: str, variant: str) -> list[str]:
    """Keys of the cohorts that always get a variant."""
    return [*_variant(standing(backend, key).definition, variant).cohorts]


@post(_of_variant("cohorts"), status_code=200, guards=[requires(EDITING)])
async def add_cohorts(request: EditRequest, backend: Backend, key: str, variant: str, data: Inclusions) -> FlagShape:
    """Cohorts that always get it."""
    variants = _with(backend, key, variant, lambda before: {"cohorts": union(before.cohorts, data.inclusions)})
    return await _edit_variants(request, backend, key, variants, data)


@delete(_of_variant("bulk-delete-cohorts"), status_code=200, guards=[requires(EDITING)])
async def remove_cohorts(request: EditRequest, backend: Backend, key: str, variant: str, data: CohortKeys) -> FlagShape:
    """These cohorts no longer always get it."""
    variants = _with(backend, key, variant, lambda before: {"cohorts": difference(before.cohorts, data.cohorts)})
    return await _edit_variants(request, backend, key, variants, data)


def _variant(definition: Flag, key: str) -> Variant:
    for each in definition.variants:
        if each.key == key:
            return each
    known = ", ".join(each.key for each in definition.variants)
    raise NotFoundException(f"'{key}' is no variant of '{definition.key}'; its variants are {known}")


def _said_of(data: VariantEdit) -> dict[str, Any]:
    said = {"name": data.name, "description": data.description, "payload": data.payload, "weight": data.rollout_weight}
    return {name: field for name, field in said.items() if field is not UNSET}


def _with(backend: Backend, key: str, variant: str, change: Callable[[Variant], dict[str, Any]]) -> list[Variant]:
    """A flag's variants, with other fields of one of them."""
    definition = standing(backend, key).definition
    before = _variant(definition, variant)
    after = msgspec.structs.replace(before, **change(before))
    return [after if each is before else each for each in definition.variants]


async def _edit_variants(
    request: EditRequest, backend: Backend, key: str, variants: Iterable[Variant], said: Edit
) -> FlagShape:
    value = written(standing(backend, key).definition) | {"variants": written([*variants])}
    await edit(request, backend, [sound(lambda: definition_of(value, Flag))], said)
    return standing_shape(backend, key)


def _listed(variant: Variant) -> list[str]:
    """The ids that always get a variant, of users and of devices, each once."""
    return [*union(variant.users, variant.devices)]


def _without_users(before: Variant, ids: Iterable[str]) -> dict[str, Any]:
    return {name: difference(getattr(before, name), ids) for name in ("users", "devices")}


ROUTES = [
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
]
