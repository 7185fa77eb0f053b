"""Events: which metrics does each event feed, and for which units?"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.entries import entry_rows
from evaluation.assignment.joins import join_rows
from evaluation.assignment.messages import Stretch, UnitRows, bits, properties
from evaluation.assignment.plan import EventPlan
from evaluation.assignment.properties import satisfied
from evaluation.columns.arrays import Mask
from evaluation.columns.hashing import text_hashes
from evaluation.columns.kinds import Kinds
from evaluation.columns.quantising import quantised
from evaluation.flags.paths import Path
from evaluation.flags.values import read_json
from schemas.numbers import BEYOND
from schemas.units import Example, RowKind

MOST_NAMES = 64  # that nothing counts and that are told, of a slice
COARSE = 1e-4  # a value that rounding changes by a larger share of itself is told
LONGEST_NAME = 100  # bytes of such a name: many travel in one message
LONGEST_EXAMPLE = 40  # characters


def event_rows(columns: MessageColumns, plan: EventPlan, stretch: Stretch) -> UnitRows:
    """One row for each unit type that some run needs and the event carries, and each fact that the event feeds.

    And one for each run of which it stands in for an exposure.
    """
    time, late, usable = stretch.times(columns)
    hashes, carried = stretch.units(columns, plan.unit_types, plan.needed)
    usable &= _with_a_unit(columns, usable & ~carried.any(axis=0), stretch)
    ids, own = stretch.ids(columns)
    if plan.pairs:
        join_rows(columns, plan.pair_types, stretch, hashes, carried, usable & ~late, time)
        hashes, carried = _with_loose(plan, hashes, carried)

    event = plan.events.codes(columns.texts["event_type",])
    stretch.names.update(_names(columns, plan, event))
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
    value, missing, rounded = _values(columns, plan, message, fact)
    unusable = missing | (np.abs(value) >= BEYOND)
    stretch.examples += _examples(columns, plan, "unusable", unusable & ~late[message], message, fact, time)
    stretch.examples += _examples(columns, plan, "rounded", rounded & ~late[message], message, fact, time)

    common = bits((late, RowKind.LATE), (own, RowKind.OWN_ID))
    stretch.count("events", len(columns))
    stretch.count("late", int((late & usable).sum()))
    stretch.count("unusable", int(unusable.sum()))
    stretch.count("rounded", int(rounded.sum()))
    rows = UnitRows(
        offset=stretch.records.offset[columns.row[message]],
        kind=common[message] | bits((missing, RowKind.UNUSABLE)),
        code=fact.astype(np.uint16),
        unit=hashes[unit_type, message],
        time=time[message],
        id=ids[message],
        value=value,
    )
    if plan.pairs:
        rows = _without_loose(rows, unit_type - len(plan.unit_types), len(plan.facts), stretch)
    entered = []
    for entry in plan.entries:
        could_enter = usable & (event == entry.event) & carried[entry.unit_type]
        entered.append(entry_rows(columns, plan, entry, stretch, time, hashes, carried, ids, could_enter, common))
    return UnitRows.join([rows, *entered])


def _with_loose(plan: EventPlan, hashes: NDArray[np.uint64], carried: Mask) -> tuple[NDArray[np.uint64], Mask]:
    """Behind the types the pairs: a message carries one that names the identity and not the unit."""
    units, identities = np.transpose(plan.pair_types)
    loose = carried[identities] & ~carried[units]
    return np.concatenate([hashes, hashes[identities]]), np.concatenate([carried, loose])


def _without_loose(rows: UnitRows, pair: NDArray[np.int64], facts: int, stretch: Stretch) -> UnitRows:
    """The units' own rows; the loose ones, whose pair is not below 0, are told apart."""
    loose = np.flatnonzero(pair >= 0)
    if not len(loose):
        return rows
    columns = {name: column[loose] for name, column in rows.columns().items()}
    columns["id"] = columns["id"] ^ columns["unit"]
    columns["code"] = (columns["code"] + pair[loose] * facts).astype(np.uint16)
    stretch.count("loose", len(loose))
    stretch.identities.append(UnitRows(**columns))
    own = pair < 0
    return UnitRows(**{name: column[own] for name, column in rows.columns().items()})


def _names(columns: MessageColumns, plan: EventPlan, event: NDArray[np.int64]) -> Iterator[str]:
    """What the events are called: all names that something counts, and the most frequent of the others.

    Of the others none is told that is too long to be meant. Looks say which names are near to one that never came, and
    they know nothing but `units`: so names are told there, though `arrivals`, which is no part of what a look is made
    of, tells them too. What another worker has told it leaves out, and a state that is made anew has none of it. Both
    count by `Kinds`.
    """
    seen = np.zeros(len(plan.events.names) + 2, np.bool_)  # the codes of unknown and missing names are the last ones
    seen[event] = True
    yield from (name for name, is_seen in zip(plan.events.names, seen, strict=False) if is_seen)
    if seen[-1]:
        others = columns.texts["event_type",].take(np.flatnonzero(event == -1))
        kinds = Kinds(1)
        kinds.add([others], np.zeros(len(others), np.int64))
        names = (kind.texts[0] for kind in kinds.of(0))
        yield from islice((name for name in names if name and len(name.encode()) <= LONGEST_NAME), MOST_NAMES)


def _satisfying(columns: MessageColumns, plan: EventPlan, message: NDArray[np.int64], fact: NDArray[np.int64]) -> Mask:
    """Which rows' messages satisfy what their fact asks for; only facts with conditions are looked at."""
    mask = np.ones(len(message), np.bool_)
    for index, conditions in plan.filters.items():
        rows = np.flatnonzero(fact == index)
        found = properties(columns, plan.wanted, {path for path, _ in conditions}, message[rows])
        mask[rows] = satisfied(conditions, found, len(rows))
    return mask


def _values(
    columns: MessageColumns, plan: EventPlan, message: NDArray[np.int64], fact: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Mask, Mask]:
    """Of rows: number · 10^scale, rounded half to even; whether there is no number; whether rounding tells.

    Of a fact that tells values apart it is 62 bits of the text's hash; a value that is missing has none.
    """
    value = np.ones(len(message), np.int64)
    missing = np.zeros(len(message), np.bool_)
    rounded = np.zeros(len(message), np.bool_)
    of = plan.fact_property[fact]
    for i, path in enumerate(plan.properties):
        is_which = plan.fact_is_which[fact] & (of == i)
        if is_which.any():
            rows = np.flatnonzero(is_which)
            found = properties(columns, plan.wanted, [path], message[rows])[path].texts
            value[rows] = (text_hashes(found) >> np.uint64(2)).astype(np.int64)
            missing[rows] = value[rows] == 0
        rows = np.flatnonzero((of == i) & ~is_which)
        number, factor = columns.numbers[path][message[rows]], plan.fact_factor[fact[rows]]
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = number * factor
            rounded[rows] = np.abs(scaled - np.rint(scaled)) > COARSE * np.abs(scaled)
        missing[rows] = np.isnan(number)
        is_within = np.abs(scaled) < BEYOND
        whole, rest = quantised(np.where(is_within, number, 0.0), factor)
        kept = whole.astype(np.int64) * factor.astype(np.int64) + rest.astype(np.int64)
        beyond = np.where(missing[rows], 0, np.where(scaled < 0.0, -BEYOND, BEYOND))
        value[rows] = np.where(is_within, np.clip(kept, -BEYOND, BEYOND), beyond)
    return value, missing, rounded


def _examples(  # noqa: PLR0917
    columns: MessageColumns,
    plan: EventPlan,
    what: Literal["unusable", "rounded"],
    is_one: Mask,
    message: NDArray[np.int64],
    fact: NDArray[np.int64],
    time: NDArray[np.int64],
) -> Iterator[Example]:
    """Of each fact of the rows that are one the newest value."""
    if not is_one.any():
        return
    message, fact = message[is_one], fact[is_one]
    newest_last = np.argsort(time[message], kind="stable")
    for code, i in dict(zip(fact[newest_last].tolist(), message[newest_last].tolist(), strict=True)).items():
        path = plan.properties[plan.fact_property[code]]
        text = repr(float(columns.numbers[path][i])) if what == "rounded" else _text(columns.ours(i), path)
        yield Example(plan.facts[code].key, what, int(time[i]), text)


class _Properties(msgspec.Struct):
    event_properties: dict[str, msgspec.Raw] | None = None


def _text(value: bytes | None, path: Path) -> str:
    """What stands at the path, as JSON; nothing where nothing does."""
    found = (msgspec.json.decode(value or b"{}", type=_Properties).event_properties or {}).get(path[-1])
    text = "" if found is None else bytes(found).decode("utf-8", "replace").strip()
    text = "" if text == "null" else "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"


class _Groups(msgspec.Struct):
    groups: msgspec.Raw = msgspec.Raw(b"null")


def _with_a_unit(columns: MessageColumns, without: Mask, stretch: Stretch) -> Mask:
    """Reject events that carry no unit at all; a group of a type that no run needs is one, if it can be read."""
    usable = np.ones(len(columns), np.bool_)
    for i in np.flatnonzero(without).tolist() if columns.source is None else ():  # a source has looked already
        groups = read_json(bytes(msgspec.json.decode(columns.value(i) or b"{}", type=_Groups).groups))
        if not isinstance(groups, dict) or not any(groups.values()):
            detail = "user_id, device_id and groups are missing or empty; send one of them, as a string"
            stretch.dead_letters.reject(columns, i, "no unit", detail)
            usable[i] = False
    return usable
