"""Flags: with metrics they are experiments. Lists, drafts, edits, and the steps that Amplitude takes by edits."""

from typing import Annotated

from litestar import get, patch, post
from litestar.exceptions import ClientException
from litestar.params import Parameter

from pipeline.catalog import editing
from pipeline.catalog.editing import Signature, StepName
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.management.edits import edit, require_project, sound, standing_shape, standing_shapes
from pipeline.http.management.flag_shapes import FlagEdit, FlagShape, NewFlag, edited_flag, new_flag
from pipeline.http.management.life import EditRequest, publishing, standing
from pipeline.http.management.pages import MOST_AT_ONCE, Limit, Page, page_of


class FlagsPage(Page, frozen=True, kw_only=True):
    """Flags without metrics, by key."""

    flags: list[FlagShape]
    next_cursor: str | None = None


class Experiments(Page, frozen=True, kw_only=True):
    """Flags with metrics, by key."""

    experiments: list[FlagShape]
    next_cursor: str | None = None


@get("/flags")
async def list_flags(
    backend: Backend,
    key: str | None = None,
    limit: Limit = MOST_AT_ONCE,
    cursor: str | None = None,
    include_archived: Annotated[bool, Parameter(query="includeArchived")] = False,
) -> FlagsPage:
    """Flags without metrics."""
    found, more = _flags(backend, False, key, include_archived, limit, cursor)
    return FlagsPage(flags=found, next_cursor=more)


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
    return standing_shape(backend, key)


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
    edited = sound(lambda: edited_flag(backend.catalog.history.newest.flags[key], data))
    if step is not None and edited != state.definition:
        raise ClientException(f"a step ({step}) goes alone; send the other fields in a request of their own")
    if step is None:
        await edit(request, backend, [edited], data)
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
    return standing_shape(backend, key)


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
    page, more = page_of(found, limit, cursor)
    return standing_shapes(backend, page), more


async def _create_flag(request: EditRequest, backend: Backend, data: NewFlag, is_experiment: bool) -> FlagShape:
    require_project(backend, data.project_id)
    definition = sound(lambda: new_flag(data, request.auth.name, is_experiment))
    async with publishing():
        signature = Signature(request.auth.name, data.reason or "create")
        await editing.create(backend.writer, definition, signature, data.yes)
    return standing_shape(backend, definition.key)


def _step(backend: Backend, key: str, said: FlagEdit) -> StepName | None:
    """The step that an edit asks for; what is so already asks for none."""
    flag = backend.catalog.history.newest.flags[key]
    wanted: list[tuple[bool, StepName]] = [
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


ROUTES = [
    list_flags,
    list_experiments,
    show_flag,
    create_flag,
    create_experiment,
    edit_flag,
]
