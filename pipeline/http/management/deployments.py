"""Deployments: the places that flags are served to, their keys, and which flag is served to which."""

from typing import Literal

import msgspec
from litestar import delete, get, patch, post
from litestar.exceptions import NotFoundException

from pipeline.catalog import editing
from pipeline.catalog.editing import RefusedError, Signature
from pipeline.catalog.types import definition_of
from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, EDITING, requires
from pipeline.http.callers.private_file import PrivateFileError
from pipeline.http.management.edits import difference, edit, project_of, require_project, sound, standing_shape, union
from pipeline.http.management.flag_shapes import FlagShape
from pipeline.http.management.life import EditRequest, publishing, standing
from pipeline.http.management.pages import MOST_AT_ONCE, Limit, Page, page_of
from pipeline.http.management.words import Edit, written
from schemas.catalog import Deployment, Flag


class DeploymentShape(Page, frozen=True, kw_only=True):
    """A deployment. Its newest key is told by its first characters, and whole once: in the answer that makes it."""

    id: str
    project_id: str
    label: str
    type: Literal["client", "server"]
    key: str | None
    deleted: bool = False


class Deployments(Page, frozen=True, kw_only=True):
    """Deployments, by key."""

    deployments: list[DeploymentShape]
    next_cursor: str | None = None


class NewDeployment(Edit, frozen=True, kw_only=True):
    """A deployment; its label is its key too, unless that is said."""

    label: str
    type: Literal["client", "server"]
    key: str | None = None
    project_id: str | None = None


class DeploymentEdit(Edit, frozen=True, kw_only=True):
    """Another label."""

    label: str


class Served(Page, frozen=True, kw_only=True):
    """Keys of the deployments that serve a flag."""

    deployments: list[str]


class MoreServed(Edit, frozen=True, kw_only=True):
    """Keys of deployments that are to serve a flag too."""

    deployments: list[str]


SERVED = ["/flags/{key:str}/deployments", "/experiments/{key:str}/deployments"]


@get(SERVED)
async def list_served(backend: Backend, key: str) -> Served:
    """The deployments that serve a flag; none: all do."""
    return Served(deployments=[*standing(backend, key).definition.deployments])


@post(SERVED, status_code=200, guards=[requires(EDITING)])
async def serve(request: EditRequest, backend: Backend, key: str, data: MoreServed) -> FlagShape:
    """Deployments that are to serve it too."""
    definition = standing(backend, key).definition
    return await _edit_served(request, backend, definition, union(definition.deployments, data.deployments), data)


@delete([f"{path}/{{deployment:str}}" for path in SERVED], status_code=200, guards=[requires(EDITING)])
async def serve_no_more(request: EditRequest, backend: Backend, key: str, deployment: str, said: Edit) -> FlagShape:
    """A deployment that is to serve it no more."""
    definition = standing(backend, key).definition
    if deployment not in definition.deployments:
        raise NotFoundException(f"'{deployment}' is no deployment that '{key}' names")
    left = difference(definition.deployments, [deployment])
    if not left:
        raise RefusedError(
            f"'{deployment}' is the last deployment that '{key}' names, and without any all would serve it; add one, "
            "or roll the flag back"
        )
    return await _edit_served(request, backend, definition, left, said)


@get("/deployments")
async def list_deployments(backend: Backend, limit: Limit = MOST_AT_ONCE, cursor: str | None = None) -> Deployments:
    """Deployments."""
    keys, more = page_of(sorted(backend.catalog.history.newest.deployments), limit, cursor)
    return Deployments(deployments=[_deployment_shape(backend, key) for key in keys], next_cursor=more)


@post("/deployments", status_code=200, guards=[requires(ADMINISTERING)])
async def create_deployment(request: EditRequest, backend: Backend, data: NewDeployment) -> DeploymentShape:
    """Publish a deployment, and make a key for it, which is told this once."""
    key = data.key or data.label
    require_project(backend, data.project_id)
    value = {"key": key, "name": data.label, "owner": request.auth.name, "type": data.type}
    definition = sound(lambda: definition_of(value, Deployment))
    async with publishing():
        await editing.create(backend.writer, definition, Signature(request.auth.name, data.reason or "create"))
    try:
        _, text = backend.access.keys.create(data.type, request.auth.name, key)
    except PrivateFileError as error:
        way = f"`peekproof key create {data.type} --deployment {key}` makes one"
        raise PeekproofError(f"deployment '{key}' stands, but has no key: {error}; then {way}") from None
    return msgspec.structs.replace(_deployment_shape(backend, key), key=text)


@patch("/deployments/{key:str}", guards=[requires(ADMINISTERING)])
async def edit_deployment(request: EditRequest, backend: Backend, key: str, data: DeploymentEdit) -> DeploymentShape:
    """Edit its label."""
    standing_one = backend.catalog.history.newest.deployments.get(key)
    if standing_one is None:
        raise NotFoundException(f"'{key}' is no deployment of the catalog")
    value = written(standing_one.definition) | {"name": data.label}
    await edit(request, backend, [sound(lambda: definition_of(value, Deployment))], data)
    return _deployment_shape(backend, key)


def _deployment_shape(backend: Backend, key: str) -> DeploymentShape:
    definition = backend.catalog.history.newest.deployments[key].definition
    ids = [each.id for each in backend.access.keys.all() if each.deployment == key]
    return DeploymentShape(
        id=key,
        project_id=project_of(backend),
        label=definition.name or key,
        type=definition.type,
        key=f"{ids[-1]}…" if ids else None,
    )


async def _edit_served(
    request: EditRequest, backend: Backend, definition: Flag, deployments: tuple[str, ...], said: Edit
) -> FlagShape:
    value = written(definition) | {"deployments": [*deployments]}
    await edit(request, backend, [sound(lambda: definition_of(value, Flag))], said)
    return standing_shape(backend, definition.key)


ROUTES = [
    list_served,
    serve,
    serve_no_more,
    list_deployments,
    create_deployment,
    edit_deployment,
]
