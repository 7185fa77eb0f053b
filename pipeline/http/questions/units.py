"""Units: what every flag yields for one unit and why, and what was recorded of it."""

import time
from typing import Any

import msgspec
from litestar import post
from litestar.exceptions import ClientException, NotFoundException

from evaluation.catalog.configs import slot_name
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.references import MET
from evaluation.catalog.rules import did_you_mean
from evaluation.catalog.sources import read_sources
from evaluation.flags.compiled import Answer, Basis, Reason
from evaluation.flags.engine import HashedUnit
from evaluation.flags.paths import unit_path, unit_selector
from evaluation.flags.users import context_of
from evaluation.flags.values import select, text_of
from pipeline.http.backend import Backend
from pipeline.http.evaluate.amplitude import MOST_USER_BYTES, User, read_ids
from pipeline.http.evaluate.flags import ServedFlags
from pipeline.http.questions.readers import QUESTION_SECONDS
from pipeline.questions.unit_records import CarriedUnit, UnitRecords, unit_records
from pipeline.registry.kept import KeptSchemas
from schemas.catalog import Membership
from schemas.duration import DAY_MS

MOST_DAYS = 90


class UnitAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who it is, by Amplitude's fields; `fields` are the others of a user: `country`, `platform`, …

    `deployment` names the one whose flags are asked for; unsaid: all flags. `days` of records are looked through.
    """

    user_id: str | int | None = None
    device_id: str | int | None = None
    groups: dict[str, str | list[str]] | None = None
    user_properties: dict[str, Any] | None = None
    group_properties: dict[str, Any] | None = None
    fields: dict[str, Any] = {}
    deployment: str | None = None
    days: int = 7


class GroupMet(msgspec.Struct, frozen=True, kw_only=True):
    """A group that a flag belongs to: the unit's slot of it, or `holdout` or `on`, and whether that lets it in."""

    group: str
    type: str
    slot: str | None
    is_in: bool


class PrerequisiteMet(msgspec.Struct, frozen=True, kw_only=True):
    """A flag on which another depends: what the unit has of it, and what it needs to have."""

    flag: str
    variant: str | None
    needs: tuple[str, ...]
    is_met: bool


class UnitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one flag yields for the unit, as its SDKs are answered, and what that rests on.

    `hashed` is the text that the flag is split by, and where it falls. `given` is the variant that a sticky flag has
    given it in this run.
    """

    key: str
    name: str | None
    is_experiment: bool
    variant: str
    payload: Any
    reason: Reason
    basis: Basis
    segment: str | None
    version: int | None
    run: str | None
    unit: str
    hashed: HashedUnit | None
    groups: list[GroupMet]
    prerequisites: list[PrerequisiteMet]
    is_sticky: bool
    given: str | None
    problem: str | None


class UnitAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What the flags yield for a unit at `time` (ms UTC), by key; `cohorts` are those that list it."""

    time: int
    cohorts: list[str]
    flags: list[UnitAnswer]


@post("/units", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def answer(backend: Backend, data: UnitAsked) -> UnitAnswers:
    """What every flag yields for a unit, and why. Nothing is tracked."""
    catalog = backend.catalog.history.newest
    if data.deployment is not None and data.deployment not in catalog.deployments:
        hint = did_you_mean(data.deployment, catalog.deployments)
        raise NotFoundException(f"'{data.deployment}' is no deployment of the catalog; {hint}")
    served = backend.flags.of(data.deployment, is_client=False)
    user = _user(data)
    units = backend.sticky.stick(user, served)
    given = dict(zip(units, backend.sticky.arms(units), strict=True)) if units else {}
    every = served.flags.evaluate(user)
    context = context_of(user)
    backend.flags.join(context)
    told = []
    for key in sorted(served.keys):
        if key in every:
            arm = given.get(key)
            its = arm[1] if arm and arm[0] == served.sticky[key][0] else None
            told.append(_answer(served, catalog, key, every, user, its))
    cohorts = {key for part in (context["user"], *context.get("groups", {}).values()) for key in _cohorts(part)}
    return UnitAnswers(time=_now(), cohorts=sorted(cohorts), flags=told)


@post("/units/records", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def records(backend: Backend, data: UnitAsked) -> UnitRecords:
    """What was recorded of a unit: exposures, events, and what it contributes to each run; read from the archive."""
    if not 1 <= data.days <= MOST_DAYS:
        raise ClientException(f"days is {data.days}; ask for 1 to {MOST_DAYS}")
    user, catalog, now = _user(data), backend.catalog.history.newest, _now()
    since = now - data.days * DAY_MS
    runs = [
        run
        for flag in catalog.flags.values()
        if flag.removed != "deleted"
        for run in flag.runs
        if run.metrics and (run.completed is None or run.completed >= since)
    ]
    target = {"context": context_of(user)}
    types = (
        {run.definition.unit for run in runs} | {"user_id", "device_id"} | {f"groups.{of}" for of in data.groups or {}}
    )
    units = {each: text for each in sorted(types) if (text := text_of(select(target, unit_selector(each))))}
    ids = {unit_path(each): text for each, text in units.items() if not each.startswith("user_properties")}
    if not ids:
        raise ClientException("nobody is named; give a user_id, a device_id or groups")
    asked = CarriedUnit(ids, units)
    about = msgspec.json.encode((sorted(units.items()), data.days, catalog.offset))
    archive, partitions = backend.settings.data / "archive", backend.settings.units_partitions
    sources = read_sources(backend.catalog.history, backend.settings.horizon)
    return await backend.readers.ask(
        unit_records,
        about,
        archive,
        asked,
        runs,
        catalog.logs,
        partitions,
        since,
        QUESTION_SECONDS,
        sources,
        KeptSchemas(backend.settings),
    )


def _user(data: UnitAsked) -> User:
    said = {
        name: getattr(data, name) for name in ("user_id", "device_id", "groups", "user_properties", "group_properties")
    }
    user = dict(data.fields) | {name: value for name, value in said.items() if value is not None}
    read_ids(user)
    return user


def _answer(  # noqa: PLR0917
    served: ServedFlags, catalog: Catalog, key: str, every: dict[str, Answer], user: User, given: str | None
) -> UnitAnswer:
    flag, its = catalog.flags[key], every[key]
    allocation = flag.allocation
    return UnitAnswer(
        key=key,
        name=flag.definition.name,
        is_experiment=bool(flag.definition.metrics),
        variant=its.key,
        payload=its.payload,
        reason=its.reason,
        basis=its.basis,
        segment=its.metadata.get("segmentName"),
        version=its.metadata.get("flagVersion"),
        run=its.metadata.get("experimentKey"),
        unit=flag.definition.unit,
        hashed=served.flags.bucket(user, key),
        groups=[
            _group(catalog, membership, every.get(membership.group))
            for membership in (allocation.groups if allocation else ())
            if membership.group in catalog.groups
        ],
        prerequisites=[
            _prerequisite(parent, needs, every.get(parent))
            for parent, needs in (allocation.prerequisites if allocation else {}).items()
        ],
        is_sticky=allocation is not None and allocation.sticky,
        given=given,
        problem=its.metadata.get("problem"),
    )


def _group(catalog: Catalog, membership: Membership, answer: Answer | None) -> GroupMet:
    needs = [slot_name(slot) for slot in membership.slots] or [MET]
    slot = None if answer is None else answer.key
    return GroupMet(
        group=membership.group,
        type=catalog.groups[membership.group].definition.type,
        slot=slot,
        is_in=slot in needs,
    )


def _prerequisite(parent: str, needs: tuple[str, ...], answer: Answer | None) -> PrerequisiteMet:
    variant = None if answer is None else answer.key
    return PrerequisiteMet(flag=parent, variant=variant, needs=needs, is_met=variant in needs)


def _cohorts(part: dict[str, Any]) -> list[str]:
    found = part.get("cohort_ids")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []


def _now() -> int:
    return time.time_ns() // 1_000_000
