"""Exposures: which arm of which run did each unit meet, and which variant does one that asks get?"""

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.contexts import answers_of, context_columns
from evaluation.assignment.dead_letters import place_of, shown
from evaluation.assignment.entries import RANDOM, arm_code, segments
from evaluation.assignment.joins import join_rows, meeting_rows
from evaluation.assignment.messages import Stretch, UnitRows, bits
from evaluation.assignment.plan import ExposurePlan, Question, Resolved
from evaluation.assignment.slices import NO_OUTCOME, evaluate_columns
from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.references import OFF
from evaluation.columns.scanning import MISSING
from evaluation.flags.paths import unit_path
from schemas.assignment import Assignment
from schemas.units import RowKind

NO_ARM = -1
ANSWERED = ("flagVersion", "experimentKey", "segmentName", "problem")  # of an answer's metadata


def exposure_rows(columns: MessageColumns, plan: ExposurePlan, stretch: Stretch) -> UnitRows:
    """One row for each exposure that belongs to a run, unless its variant is `off`; answers for those that ask."""
    time, late, usable = stretch.times(columns)
    hashes, carried = stretch.units(columns, plan.unit_types, plan.needed)
    ids, own = stretch.ids(columns)
    rows = np.flatnonzero(usable)
    questions, which = _questions(columns, plan, rows)
    resolved = [plan.resolve(question) for question in questions]
    unit_type = np.array([plan.unit_types.index(each.unit_type) for each in resolved] or [0])[which]
    wants_unit = np.array([each.wants_unit for each in resolved] or [False])[which]
    has_unit = carried[unit_type, rows]
    for i in np.flatnonzero(wants_unit & ~has_unit).tolist():
        detail = f"{resolved[which[i]].unit_type} is missing or empty, and the flag buckets by it; send it, as a string"
        stretch.dead_letters.reject(columns, int(rows[i]), "no unit", detail)

    if plan.pairs:
        rejected = np.array([each.reason is not None for each in resolved] or [False])[which]
        counts = usable & ~late
        counts[rows[rejected | (wants_unit & ~has_unit)]] = False
        join_rows(columns, plan.pair_types, stretch, hashes, carried, counts, time)

    arms = np.array([_arm(each, stretch) for each in resolved] or [NO_ARM])
    arm = np.where(has_unit, arms[which], NO_ARM)
    inactive = np.array([each.open_run is None for each in resolved] or [False])[which]
    inactive |= time[rows] < np.array([each.begins for each in resolved] or [0])[which]
    for question, each in enumerate(resolved):
        if each.reason:
            _reject(columns, each, rows[which == question], stretch)
        elif each.asks:
            asking = np.flatnonzero((which == question) & has_unit)
            arm[asking] = _answers(columns, plan, each, rows[asking], time, stretch)
    forced = np.zeros(len(rows), np.bool_)
    for question, each in enumerate(resolved):
        lists = plan.inclusions(each.run, each.allocation) if each.run and arms[question] != NO_ARM else None
        if each.run and lists is not None:
            alike = np.flatnonzero((which == question) & has_unit)
            found = context_columns(columns, plan.wanted, rows[alike], lists.selectors, plan.cohorts)
            forced[alike] = evaluate_columns(lists, found, len(alike))[each.run.flag].codes != NO_OUTCOME

    off = np.array([each.variant == OFF for each in resolved] or [False])[which]
    only_counted = np.array([each.is_only_counted for each in resolved] or [False])[which]
    replaced = np.array([not each.enters for each in resolved] or [False])[which]
    met = arm != NO_ARM
    stretch.count("exposures", len(columns))
    stretch.count("off", int(off.sum()))
    stretch.count("inactive", int(only_counted.sum() + inactive[met].sum()))
    stretch.count("replaced", int(replaced.sum()))  # by the event that stands in for exposures of the flag
    stretch.count("forced", int(forced.sum()))
    rows, arm, which = rows[met], arm[met], which[met]
    value, told = np.zeros(len(rows), np.int64), stretch.segments or segments
    for question, each in enumerate(resolved):
        if each.run and each.run.definition.breakdowns:
            alike = np.flatnonzero(which == question)
            value[alike] = told(columns, plan.wanted, each.run.definition.breakdowns, rows[alike])
    stretch.count("late", int(late[rows].sum()))
    kind = bits((late[rows], RowKind.LATE), (inactive[met], RowKind.INACTIVE), (forced[met], RowKind.FORCED))
    entered = UnitRows(
        offset=stretch.records.offset[columns.row[rows]],
        kind=kind | bits((own[rows], RowKind.OWN_ID)) | np.uint8(RowKind.EXPOSURE),
        code=arm.astype(np.uint16),
        unit=hashes[unit_type[met], rows],
        time=time[rows],
        id=ids[rows],
        value=value,
    )
    if plan.pairs:
        identity = np.array([_identity(each, plan) for each in resolved] or [-1])[which]
        meeting_rows(entered, hashes[identity, rows], (identity >= 0) & carried[identity, rows], stretch)
    coming = [
        _told_of(each.run.coming, entered, np.flatnonzero(which == question), rows, columns, plan, stretch)
        for question, each in enumerate(resolved)
        if each.run and each.run.coming
    ]
    return UnitRows.join([entered, *coming]) if coming else entered


def _told_of(  # noqa: PLR0917
    coming: RunInForce,
    entered: UnitRows,
    alike: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: MessageColumns,
    plan: ExposurePlan,
    stretch: Stretch,
) -> UnitRows:
    """Those of the rows once more, of the generation that is coming: `alike` are theirs, `rows` those of messages."""
    told = {name: column[alike] for name, column in entered.columns().items()}
    arms, code = list(stretch.arms), np.zeros(len(stretch.arms), np.uint16)
    for each in np.unique(told["code"]).tolist():
        code[each] = arm_code(coming, arms[each].allocation, arms[each].variant, stretch)
    told["code"] = code[told["code"]]
    told["value"] = segments(columns, plan.wanted, coming.definition.breakdowns, rows[alike])
    return UnitRows(**told)


def _identity(resolved: Resolved, plan: ExposurePlan) -> int:
    """Among the types the one of the people behind a run's units; -1: nobody is."""
    run = resolved.open_run if resolved.asks else resolved.run
    return plan.unit_types.index(run.definition.identity) if run and run.definition.identity else -1


def _questions(
    columns: MessageColumns, plan: ExposurePlan, rows: NDArray[np.int64]
) -> tuple[list[Question], NDArray[np.int64]]:
    """The questions of these exposures, each once, and which of them each exposure puts."""
    version = columns.integers["metadata", "flagVersion"][rows]
    newest = plan.newest_version + 1
    asked = [
        plan.flags.codes(columns.texts["flag_key",])[rows],
        plan.variants.codes(columns.texts["variant",])[rows],
        plan.runs.codes(columns.texts["experiment_key",])[rows],
        np.where(version == MISSING, -1, np.clip(version, 0, newest)),
    ]
    sizes = (len(plan.flags.names) + 2, len(plan.variants.names) + 2, len(plan.runs.names) + 2, newest + 3)
    together = np.zeros(len(rows), np.int64)
    for codes, size in zip(asked, sizes, strict=True):
        together = together * size + codes + 2
    _, first, which = np.unique(together, return_index=True, return_inverse=True)
    questions = zip(*(codes[first].tolist() for codes in asked), strict=True)
    return [Question(*question) for question in questions], which


def _arm(resolved: Resolved, stretch: Stretch) -> int:
    """The code of the arm that exposures met by their own account."""
    if resolved.run is None or resolved.variant is None or not (resolved.wants_unit and resolved.enters):
        return NO_ARM
    return arm_code(resolved.run, resolved.allocation, resolved.variant, stretch)


def _reject(columns: MessageColumns, resolved: Resolved, alike: NDArray[np.int64], stretch: Stretch) -> None:
    assert resolved.reason
    for i in alike.tolist():
        detail = resolved.detail.format(
            flag_key=shown(columns.texts["flag_key",][i]),
            variant=shown(columns.texts["variant",][i]),
            experiment_key=shown(columns.texts["experiment_key",][i]),
            version=columns.integers["metadata", "flagVersion"][i],
        )
        stretch.dead_letters.reject(columns, i, resolved.reason, detail)


def _answers(  # noqa: PLR0917
    columns: MessageColumns,
    plan: ExposurePlan,
    resolved: Resolved,
    rows: NDArray[np.int64],
    time: NDArray[np.int64],
    stretch: Stretch,
) -> NDArray[np.int64]:
    """Answer exposures that ask, and give the arm of each; those that are off, forced or inactive meet none."""
    flag, flags = resolved.flag, plan.flags_for(resolved)
    assert flag
    key = flag.definition.key
    run = resolved.open_run
    given = answers_of(flags, key, columns, plan.wanted, rows, plan.cohorts)
    arms = [NO_ARM] * len(given.outcomes)
    for code in np.unique(given.codes).tolist():
        if run is not None and resolved.enters and given.outcomes[code].reason in RANDOM:
            arms[code] = arm_code(run, resolved.allocation, given.outcomes[code].key, stretch)
    metadata = [{name: each.metadata[name] for name in ANSWERED if name in each.metadata} for each in given.outcomes]
    group_type = resolved.unit_type.partition(".")[2] if resolved.unit_type.startswith("groups.") else None
    texts = [("user_id",), ("device_id",), unit_path(resolved.unit_type), ("insert_id",)]
    names = zip(*(columns.texts[path].take(rows).strings() for path in texts), strict=True)
    for i, code, (user, device, unit, insert_id) in zip(rows.tolist(), given.codes.tolist(), names, strict=True):
        outcome = given.outcomes[code]
        answer = Assignment(
            flag_key=key,
            variant=outcome.key,
            reason=outcome.reason,
            experiment_key=run.key if run else None,
            user_id=user or None,
            device_id=device or None,
            groups={group_type: unit} if group_type and unit else None,
            payload=outcome.payload,
            metadata=metadata[code],
            time=int(time[i]),
            insert_id=insert_id or None,
            origin=place_of(stretch.records, int(columns.row[i]), columns.index_of(i)).text,
        )
        stretch.answers.append((int(columns.row[i]), int(columns.index[i]), answer))
    stretch.count("answers", len(rows))
    return np.array(arms)[given.codes]
