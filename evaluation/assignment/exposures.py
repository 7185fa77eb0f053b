"""Exposures: which arm of which run did each unit meet, and which variant does one that asks get?"""

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.bucketing import OFF, Reason, choose
from evaluation.assignment.decoding import Columns, place_of, shown
from evaluation.assignment.messages import Mask, Rows, Stretch, bits
from evaluation.assignment.plan import ExposurePlan, Question, Resolved, unit_path
from evaluation.assignment.scanning import MISSING
from evaluation.catalog import RunInForce
from schemas.assignment import Assignment
from schemas.units import Arm, Kind

NO_ARM = -1


def exposure_rows(columns: Columns, plan: ExposurePlan, stretch: Stretch) -> Rows:
    """One row for each exposure that belongs to a run, unless its variant is `off`; answers for those that ask."""
    time, late, usable = stretch.times(columns)
    hashes, carried = stretch.units(columns, plan.unit_types, plan.needed)
    ids, own = stretch.ids(columns)
    arm = np.full(len(columns), NO_ARM)
    forced = np.zeros(len(columns), np.bool_)
    inactive = np.zeros(len(columns), np.bool_)
    unit = np.zeros(len(columns), np.uint64)
    for resolved, alike in _questions(columns, plan, usable):
        if resolved.reason:
            _reject(columns, resolved, alike, stretch)
            continue
        run = resolved.run
        if resolved.variant == OFF:
            stretch.count("off", len(alike))
            continue
        if resolved.variant is not None and run is None:
            stretch.count("inactive", len(alike))
            continue
        rows = _with_unit(columns, plan, resolved, alike, carried, stretch)
        unit[rows] = hashes[plan.unit_types.index(resolved.unit_type), rows]
        if resolved.variant is None:
            arm[rows] = _answers(columns, plan, resolved, rows, time, stretch)
        elif run is not None:
            arm[rows] = _arm(run, resolved.allocation, resolved.variant, stretch)
            inactive[rows] = resolved.is_inactive
            bucketing = plan.bucketing(run, resolved.allocation)
            if bucketing.users or bucketing.devices:
                users, devices = columns.texts["user_id",].take(rows), columns.texts["device_id",].take(rows)
                forced[rows] = bucketing.included(users, devices) >= 0
    shown_to = np.flatnonzero(arm != NO_ARM)
    kind = bits((late, Kind.LATE), (inactive, Kind.INACTIVE), (forced, Kind.FORCED), (own, Kind.OWN_ID))
    stretch.count("exposures", len(columns))
    for name, mask in (("late", late), ("inactive", inactive), ("forced", forced)):
        stretch.count(name, int(mask[shown_to].sum()))
    return Rows(
        offset=stretch.records.offset[columns.row[shown_to]],
        kind=kind[shown_to] | np.uint8(Kind.EXPOSURE),
        code=arm[shown_to].astype(np.uint16),
        unit=unit[shown_to],
        time=time[shown_to],
        id=ids[shown_to],
        value=np.zeros(len(shown_to), np.int64),
    )


def _questions(columns: Columns, plan: ExposurePlan, usable: Mask) -> list[tuple[Resolved, NDArray[np.int64]]]:
    """The usable exposures, those together that name the same flag, variant, run and version, and their resolution."""
    rows = np.flatnonzero(usable)
    if not len(rows):
        return []
    version = columns.integers["metadata", "flagVersion"][rows]
    newest = plan.newest_version + 1
    version = np.where(version == MISSING, -1, np.clip(version, 0, newest))
    asked = [
        plan.flags.codes(columns.texts["flag_key",])[rows],
        plan.variants.codes(columns.texts["variant",])[rows],
        plan.runs.codes(columns.texts["experiment_key",])[rows],
        version,
    ]
    sizes = (len(plan.flags.names) + 2, len(plan.variants.names) + 2, len(plan.runs.names) + 2, newest + 3)
    together = np.zeros(len(rows), np.int64)
    for codes, size in zip(asked, sizes, strict=True):
        together = together * size + codes + 2
    _, first, which = np.unique(together, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    groups = np.split(rows[order], np.cumsum(np.bincount(which))[:-1])
    questions = [Question(*(int(codes[i]) for codes in asked)) for i in first.tolist()]
    return [(plan.resolve(question), alike) for question, alike in zip(questions, groups, strict=True)]


def _reject(columns: Columns, resolved: Resolved, alike: NDArray[np.int64], stretch: Stretch) -> None:
    assert resolved.reason
    for i in alike.tolist():
        detail = resolved.detail.format(
            flag_key=shown(columns.texts["flag_key",][i]),
            variant=shown(columns.texts["variant",][i]),
            experiment_key=shown(columns.texts["experiment_key",][i]),
            version=columns.integers["metadata", "flagVersion"][i],
        )
        stretch.letters.reject(columns, i, resolved.reason, detail)


def _with_unit(  # noqa: PLR0917
    columns: Columns, plan: ExposurePlan, resolved: Resolved, alike: NDArray[np.int64], carried: Mask, stretch: Stretch
) -> NDArray[np.int64]:
    """The exposures that carry the unit that their flag buckets by; the others are rejected."""
    has_unit = carried[plan.unit_types.index(resolved.unit_type), alike]
    for i in alike[~has_unit].tolist():
        key = columns.texts["flag_key",][i]
        detail = f"{resolved.unit_type} is missing or empty, and flag '{key}' buckets by it; send it, as a string"
        stretch.letters.reject(columns, i, "no unit", detail)
    return alike[has_unit]


def _arm(run: RunInForce, allocation: int, variant: str, stretch: Stretch) -> int:
    return stretch.arms.setdefault(Arm(run.flag, run.key, allocation, variant), len(stretch.arms))


def _answers(  # noqa: PLR0917
    columns: Columns,
    plan: ExposurePlan,
    resolved: Resolved,
    rows: NDArray[np.int64],
    time: NDArray[np.int64],
    stretch: Stretch,
) -> NDArray[np.int64]:
    """Answer exposures that ask, and give the arm of each; those that are off, forced or inactive meet none."""
    arm = np.full(len(rows), NO_ARM)
    run, flag = resolved.run, resolved.flag
    assert flag
    variants: list[str] = []
    chosen = forced = np.full(len(rows), -1, np.int16)
    users, devices = columns.texts["user_id",].take(rows), columns.texts["device_id",].take(rows)
    unit = columns.texts[unit_path(resolved.unit_type)].take(rows)
    if run is not None and not resolved.is_inactive:
        bucketing = plan.bucketing(run, resolved.allocation)
        variants = list(bucketing.variants)
        chosen, forced = choose(bucketing, unit), bucketing.included(users, devices)
        entered = np.flatnonzero((forced < 0) & (chosen >= 0))
        of_variant = {
            i: _arm(run, resolved.allocation, variants[i], stretch) for i in np.unique(chosen[entered]).tolist()
        }
        arm[entered] = [of_variant[i] for i in chosen[entered].tolist()]
    payloads = {variant.key: variant.payload for variant in (run or flag).definition.variants}
    is_group = resolved.unit_type.startswith("groups.")
    for at, i in enumerate(rows.tolist()):
        variant, reason, segment = _answer(variants, int(forced[at]), int(chosen[at]), resolved.is_inactive)
        name = unit[at]
        metadata: dict[str, object] = {"flagVersion": flag.version, "segmentName": segment}
        answer = Assignment(
            flag_key=flag.definition.key,
            variant=variant,
            reason=reason,
            experiment_key=run.key if run else None,
            user_id=users[at] or None,
            device_id=devices[at] or None,
            groups={resolved.unit_type.partition(".")[2]: name} if is_group and name else None,
            payload=payloads.get(variant),
            metadata=metadata | ({"experimentKey": run.key} if run else {}),
            time=int(time[i]),
            insert_id=columns.texts["insert_id",][i] or None,
            origin=place_of(stretch.records, int(columns.row[i]), columns.index_of(i)).text,
        )
        stretch.answers.append((int(columns.row[i]), int(columns.index[i]), answer))
    stretch.count("answers", len(rows))
    return arm


def _answer(variants: list[str], forced: int, chosen: int, is_inactive: bool) -> tuple[str, Reason, str]:
    """The variant, why, and the name that Amplitude gives to the segment."""
    if is_inactive:
        return OFF, "inactive", "default"
    if forced >= 0:
        return variants[forced], "inclusion", "individual-inclusions"
    if chosen >= 0:
        return variants[chosen], "split", "All Other Users"
    return OFF, "not allocated", "All Other Users"
