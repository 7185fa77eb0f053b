"""Events: which metrics does each event feed, and for which units?"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import Columns
from evaluation.assignment.entries import entry_rows
from evaluation.assignment.letters import shown
from evaluation.assignment.messages import Mask, Rows, Stretch, bits, properties
from evaluation.assignment.plan import EventPlan
from evaluation.assignment.properties import satisfied
from evaluation.assignment.values import read_json
from schemas.units import Kind

LARGEST_VALUE = 1 << 40  # a quantised value lies below it, up or down


def event_rows(columns: Columns, plan: EventPlan, stretch: Stretch) -> Rows:
    """One row for each unit type that some run needs and the event carries, and each fact that the event feeds.

    And one for each run of which it stands in for an exposure.
    """
    time, late, usable = stretch.times(columns)
    hashes, carried = stretch.units(columns, plan.unit_types, plan.needed)
    usable &= _with_a_unit(columns, usable & ~carried.any(axis=0), stretch)
    ids, own = stretch.ids(columns)

    event = plan.events.codes(columns.texts["event_type",])
    slots = np.where(usable, plan.slots[event], 0)
    message = np.repeat(np.arange(len(columns)), slots)
    ends = np.cumsum(slots)
    slot = np.arange(len(message)) + np.repeat(plan.first_slot[event] - (ends - slots), slots)
    unit_type = plan.slot_unit[slot]
    kept = carried[unit_type, message]
    kept &= stretch.records.append_time[columns.row[message]] <= plan.slot_until[slot]
    if not kept.all():
        message, slot, unit_type = message[kept], slot[kept], unit_type[kept]
    fact = plan.slot_fact[slot]
    if plan.filters:
        kept = _satisfying(columns, plan, message, fact)
        message, unit_type, fact = message[kept], unit_type[kept], fact[kept]
    value, missing, too_large = _values(columns, plan, message, fact)
    if too_large.any():
        bad = np.unique(message[too_large])
        for i in bad.tolist():
            one = np.flatnonzero(too_large & (message == i))[0]
            _, name = plan.properties[plan.fact_property[fact[one]]]
            factor = plan.fact_factor[fact[one]]
            number = columns.numbers["event_properties", name][i]
            stretch.letters.reject(
                columns,
                i,
                "value out of range",
                f"event_properties.{shown(name)} is {number}; times {factor:.0f} it must lie below 2^40: send less, or "
                "lower the metric's scale",
            )
        kept = ~np.isin(message, bad)
        message, unit_type, fact = message[kept], unit_type[kept], fact[kept]
        value, missing = value[kept], missing[kept]
        usable[bad] = False

    common = bits((late, Kind.LATE), (own, Kind.OWN_ID))
    stretch.count("events", len(columns))
    stretch.count("late", int((late & usable).sum()))
    stretch.count("unusable", int(missing.sum()))
    rows = Rows(
        offset=stretch.records.offset[columns.row[message]],
        kind=common[message] | bits((missing, Kind.UNUSABLE)),
        code=fact.astype(np.uint16),
        unit=hashes[unit_type, message],
        time=time[message],
        id=ids[message],
        value=value,
    )
    entered = []
    for entry in plan.entries:
        could_enter = usable & (event == entry.event) & carried[entry.unit_type]
        units = hashes[entry.unit_type]
        entered.append(entry_rows(columns, plan, entry, stretch, time, units, ids, could_enter, common))
    return Rows.join([rows, *entered])


def _satisfying(columns: Columns, plan: EventPlan, message: NDArray[np.int64], fact: NDArray[np.int64]) -> Mask:
    """Which rows' messages satisfy what their fact asks for; only facts with conditions are looked at."""
    mask = np.ones(len(message), np.bool_)
    for index, conditions in plan.filters.items():
        rows = np.flatnonzero(fact == index)
        found = properties(columns, plan.wanted, {path for path, _ in conditions}, message[rows])
        mask[rows] = satisfied(conditions, found, len(rows))
    return mask


def _values(
    columns: Columns, plan: EventPlan, message: NDArray[np.int64], fact: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Mask, Mask]:
    """Of rows: rint(number · 10^scale), half to even; whether there is no number; whether it is too large."""
    value = np.ones(len(message), np.int64)
    missing = np.zeros(len(message), np.bool_)
    too_large = np.zeros(len(message), np.bool_)
    of = plan.fact_property[fact]
    for i, path in enumerate(plan.properties):
        rows = np.flatnonzero(of == i)
        with np.errstate(over="ignore"):
            scaled = np.rint(columns.numbers[path][message[rows]] * plan.fact_factor[fact[rows]])
        missing[rows] = np.isnan(scaled)
        too_large[rows] = np.abs(scaled) >= LARGEST_VALUE
        value[rows] = np.where(np.abs(scaled) < LARGEST_VALUE, scaled, 0.0).astype(np.int64)
    return value, missing, too_large


class _Groups(msgspec.Struct):
    groups: msgspec.Raw = msgspec.Raw(b"null")


def _with_a_unit(columns: Columns, without: Mask, stretch: Stretch) -> Mask:
    """Reject events that carry no unit at all; a group of a type that no run needs is one, if it can be read."""
    usable = np.ones(len(columns), np.bool_)
    for i in np.flatnonzero(without).tolist():
        groups = read_json(bytes(msgspec.json.decode(columns.value(i) or b"{}", type=_Groups).groups))
        if not isinstance(groups, dict) or not any(groups.values()):
            detail = "user_id, device_id and groups are missing or empty; send one of them, as a string"
            stretch.letters.reject(columns, i, "no unit", detail)
            usable[i] = False
    return usable
