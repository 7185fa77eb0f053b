"""Plans: what a flag's plan says now, another one, and none."""

import time
from typing import Annotated

import msgspec
from litestar import delete, get, put
from litestar.exceptions import NotFoundException
from litestar.params import Parameter

from evaluation.catalog.overview import stages_to_look
from evaluation.plans.acts import told_act
from evaluation.plans.preview import Preview, preview
from pipeline.catalog import editing
from pipeline.catalog.editing import RefusedError, Signature
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, OF_LINK, requires
from pipeline.http.management.bodies import DocumentRequest
from pipeline.http.management.life import EditRequest, Stands, newest_look, of_each, publishing, standing, stands
from pipeline.http.management.words import LONGEST_REASON
from schemas.plan import Plan
from schemas.written import Switch

STAGE = "plans"  # which acts

Reason = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=LONGEST_REASON, description=f"why: a text of 1 to {LONGEST_REASON:,} characters"
    ),
]
Base = Annotated[int, msgspec.Meta(ge=1, description="a whole number from 1: the version that was decided on")]


class PlanEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan as a document has it, and why. `base` is the version that it rests on; `yes`: despite risks."""

    plan: Plan
    reason: Reason
    base: Base
    yes: Switch = False


class PlanShown(Preview, frozen=True, kw_only=True):
    """A plan as a timeline, by the newest look and this server's clock.

    `asks` is the act that it says now, in words; `idle` why nobody takes it, if so.
    """

    asks: str | None
    idle: str | None


@get(of_each("plan"), opt=OF_LINK)
async def show_plan(backend: Backend, key: str) -> PlanShown:
    """Tell how far a plan has come, what comes next and when at the earliest, and what stands in its way."""
    standing(backend, key)
    flag = backend.catalog.history.newest.flags[key]
    if flag.definition.plan is None:
        raise NotFoundException(f"'{key}' has no plan; write one into its definition, or PUT one here")
    look = newest_look(backend, key)
    try:
        told = preview(flag, look, time.time_ns() // 1_000_000, backend.workers.behind(stages_to_look(flag.definition)))
    except ValueError as error:
        raise RefusedError(f"the plan of '{key}' cannot be told: {error}") from None
    is_idle = STAGE not in backend.workers.stages
    return PlanShown(
        **msgspec.structs.asdict(told),
        asks=told_act(told.now.act) if told.now.act else None,
        idle=f"nobody works on {STAGE}; `peekproof up` starts every stage" if is_idle else None,
    )


@put(of_each("plan"), guards=[requires(EDITING)], request_class=DocumentRequest)
async def put_plan(request: EditRequest, backend: Backend, key: str, data: PlanEdit) -> Stands:
    """Give a flag a plan, or another one, in the place of its `rollout`, `start` and `end`.

    A plan that is another pauses itself where the flag is running. 409: it is refused, or wants `yes` to its
    consequences.
    """
    signature = Signature(request.auth.name, data.reason)
    return await _edit(backend, key, data.plan, signature, base=data.base, accept_risks=data.yes)


@delete(of_each("plan"), status_code=200, guards=[requires(EDITING)])
async def end_plan(  # noqa: PLR0917 (they come by name)
    request: EditRequest,
    backend: Backend,
    key: str,
    reason: Annotated[str, Parameter(min_length=1, max_length=LONGEST_REASON)],
    base: Annotated[int, Parameter(ge=1, description="The version that was decided on.")],
    yes: bool = False,
) -> Stands:
    """End a plan: the percentages that are in force stay, and nothing is done by itself any more."""
    return await _edit(backend, key, None, Signature(request.auth.name, reason), base=base, accept_risks=yes)


async def _edit(
    backend: Backend, key: str, plan: Plan | None, signature: Signature, *, base: int, accept_risks: bool
) -> Stands:
    standing(backend, key)
    async with publishing():
        return stands(await editing.plan(backend.writer, key, plan, signature, base=base, accept_risks=accept_risks))


ROUTES = [show_plan, put_plan, end_plan]
