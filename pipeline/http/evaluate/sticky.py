"""Sticky: which variant each unit of a sticky flag has in its run, by the assignments that servers made."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.given_variants import NOT_GIVEN, GivenVariants
from evaluation.columns.hashing import P1, text_hashes
from evaluation.columns.scanning import Scanned, Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.users import context_of
from evaluation.flags.values import select, text_of
from pipeline.http.evaluate.flags import ServedFlags
from pipeline.kafka.columnar import columns
from pipeline.kafka.set_aside import SetAside
from schemas.assignment import Assignment
from schemas.decoding import decode
from schemas.records import Records
from schemas.topics import ASSIGNMENTS

MOST_UNITS = 8_000_000  # units, of all flags: 200 MB. Beyond, those that were assigned longest ago are forgotten.
PROPERTY = "[Experiment] {}"  # of the user, in which Amplitude keeps the variant of a flag
ORIGIN = "http/"  # of the assignments that servers make
_ORIGIN = np.frombuffer(ORIGIN.encode(), np.uint8)
_FLAG, _RUN, _VARIANT, _UNIT, _FROM = _PATHS = (
    ("flag_key",),
    ("experiment_key",),
    ("variant",),
    ("unit",),
    ("origin",),
)
_WANTED = Wanted(dict.fromkeys(_PATHS, Type.TEXT), required=_FROM)

StickyArm = tuple[str | None, str]  # the run, and the variant in it


class Sticky:
    """Remembers; of a unit the newest assignment counts."""

    def __init__(self, most: int = MOST_UNITS, aside: SetAside | None = None) -> None:
        self._aside = aside or SetAside()
        self._given = GivenVariants(most)  # by the hash of flag and unit; the code is a position in `_arms`
        self._arms: list[StickyArm] = []
        self._codes: dict[StickyArm, int] = {}

    def read(self, records: Records) -> None:
        """Take a slice of the topic `assignments`."""
        scanned = scan(as_bytes(records.data), records.start, records.length, _WANTED)
        position = scanned.wanted.position
        odd = scanned.odd | (scanned.length[[position[_FLAG], position[_VARIANT]]] < 0).any(axis=0)
        units, codes = self._read(scanned, np.flatnonzero(~odd))
        for row in np.flatnonzero(odd).tolist():
            with self._aside.unless_ours(ASSIGNMENTS, records.partition, int(records.offset[row])):
                assigned = decode(records.value(row), Assignment)
                if assigned.unit is None or not assigned.origin.startswith(ORIGIN):
                    continue
                units[row] = _hashes({assigned.flag_key: assigned.unit})[0]
                codes[row] = self._code((assigned.experiment_key, assigned.variant))
        ours = units != 0
        self._given.put(units[ours], codes[ours])

    def remember(self, units: Mapping[str, str], arms: Sequence[StickyArm]) -> None:
        """The units, by flag, were given these."""
        self._given.put(_hashes(units), np.array([self._code(arm) for arm in arms], np.int32))

    def arms(self, units: Mapping[str, str]) -> list[StickyArm | None]:
        """What each of the units, by flag, was given last."""
        codes = self._given.get(_hashes(units)).tolist()
        return [None if code == NOT_GIVEN else self._arms[code] for code in codes]

    def stick(self, user: dict[str, object], served: ServedFlags) -> dict[str, str]:
        """Tell the user which variants it has, where it doesn't say so itself; what each sticky flag buckets it by."""
        if not served.sticky:
            return {}
        context, properties = {"context": context_of(user)}, user.get("user_properties")
        properties = dict(properties) if isinstance(properties, dict) else {}
        texts = {flag: text_of(select(context, selector)) for flag, (_, selector) in served.sticky.items()}
        units = {flag: text for flag, text in texts.items() if text}
        for flag, arm in zip(units, self.arms(units), strict=True):
            if arm and arm[0] == served.sticky[flag][0]:
                properties.setdefault(PROPERTY.format(flag), arm[1])
        user["user_properties"] = properties
        return units

    def _read(self, scanned: Scanned, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Hash and code of each record; the hash is 0 where it is not of these rows, or no assignment of a server."""
        units, codes = np.zeros(len(scanned.odd), np.uint64), np.zeros(len(scanned.odd), np.int32)
        start, length = (each[scanned.wanted.position[_FROM]] for each in (scanned.start, scanned.length))
        is_ours = (scanned.data[start[rows, None] + np.arange(len(_ORIGIN))] == _ORIGIN).all(axis=1)
        rows = rows[is_ours & (length[rows] >= len(_ORIGIN))]
        flag, run, variant, unit = (scanned.texts(path).take(rows) for path in (_FLAG, _RUN, _VARIANT, _UNIT))
        units[rows] = _of_flag(text_hashes(flag), text_hashes(unit))
        _, first, kind = np.unique(text_hashes(run) * P1 + text_hashes(variant), return_index=True, return_inverse=True)
        arms = [(run[one], variant[one] or "") for one in first.tolist()]
        codes[rows] = np.array([self._code(arm) for arm in arms], np.int32)[kind]
        return units, codes

    def _code(self, arm: StickyArm) -> int:
        if arm not in self._codes:
            self._codes[arm] = len(self._arms)
            self._arms.append(arm)
        return self._codes[arm]


@cache
def compile_kernels() -> None:
    """Compile the kernels, or load them from numba's cache: seconds in which nobody would be answered."""
    sticky, nothing = Sticky(), np.zeros(1, np.int64)
    value = b'{"flag_key":"button","variant":"control","unit":"ann","origin":"http/"}'
    sticky.read(Records(ASSIGNMENTS, 0, 0, 1, nothing, nothing, nothing, nothing + len(value), memoryview(value)))
    sticky.arms({"button": "ann"})
    columns.compile_kernels()


def _hashes(units: Mapping[str, str]) -> NDArray[np.uint64]:
    """Of the units, by flag."""
    texts = [text.encode("utf-8", "replace") for text in (*units, *units.values())]
    length = np.array([*map(len, texts)], np.int64)
    hashes = text_hashes(Texts(as_bytes(b"".join(texts)), np.cumsum(length) - length, length))
    return _of_flag(hashes[: len(units)], hashes[len(units) :])


def _of_flag(flag: NDArray[np.uint64], unit: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hash of a flag's unit, by the hashes of both; 0: there is none."""
    return np.where(unit == 0, unit, flag * P1 + unit)
