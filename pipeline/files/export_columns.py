"""Export columns: what `exports` says of one row, of many rows at once, by the columns of their fields.

A row is taken only where nothing about it is unusual: names without escapes, a time that is a whole number or ISO 8601,
ids that are texts or whole numbers.
The others are left to `exports.to_message`; a test compares the two.
"""

from collections import Counter
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.columns.arrays import Mask
from evaluation.columns.names import Names
from evaluation.columns.scanning import MISSING, Scanned, Type, Wanted, scan
from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path
from pipeline.files.exports import EXPOSURE_EVENTS, FIELDS, MILLISECONDS, SAID, UNLIKE_ID
from pipeline.files.json_columns import joined, listed, quoted
from schemas.topics import EXPOSURES

_WANTED = Wanted({(name,): Type.VALUE for name in FIELDS}, None)
_IDS = ("user_id", "device_id", "insert_id")
_REPLACED = ("time", "event_time", "$insert_id")

# What exposure events of either kind say in their properties, in the order of what a message calls it.
_MEANT = ("flag_key", "variant", "experiment_key")
_SAID: list[dict[Path, Type]] = [
    {("event_properties", field.encode_name): Type.VALUE for field in msgspec.structs.fields(said)}
    for said in SAID.values()
]
_EVENTS = Names(tuple(map(quoted, EXPOSURE_EVENTS)))

# A whole number, or one that a column of floats has.
_NUMBER = r"^(?:(-?[0-9]+)|(0|-?[1-9][0-9]{0,14})\.0+)$"
_UNUSUAL = rf'^(?:"(?:{UNLIKE_ID})"|[-0-9].*)$'

_OBJECT: Path = ("event_properties",)
_MOST = 1 << 53
_QUOTE = ord('"')
_OFF = np.frombuffer(b'"off"', np.uint8)
_DAY = r"(19[7-9][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_ZONE = r"(Z| UTC|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"


@dataclass(frozen=True, slots=True)
class Translated:
    """Those of the rows that were taken, as messages."""

    row: NDArray[np.int64]  # (n,) its number among the rows, ascending
    is_exposure: Mask  # (n,)
    message: pa.Array  # (n,) large strings
    time: NDArray[np.int64]  # (n,) ms UTC
    runs: Counter[tuple[str, str]]  # how many exposures named a flag and a run of it


def translate(rows: Texts, topic: str) -> Translated:
    """The messages that these rows of a file make, which was given for the topic."""
    source = np.concatenate([rows.data, _OFF])
    fields = scan(source, rows.start, rows.length, _WANTED)
    event = _EVENTS.codes(fields.texts(("event_type",)))
    sure = ~fields.odd & ~_escaped(fields, "event_type")
    for code, properties in enumerate(_SAID):
        its = np.flatnonzero(sure & (event == code))
        if len(its):
            said = scan(source, rows.start[its], rows.length[its], Wanted({_OBJECT: Type.OBJECT, **properties}, None))
            sure[its] = _take_from_properties(fields, its, said, len(rows.data))
    is_exposure = (event >= 0) | (topic == EXPOSURES)

    at = _WANTED.position
    names_run = is_exposure & (fields.length[at["experiment_key",]] >= 0)
    if names_run.any():
        for name in ("flag_key", "experiment_key"):
            sure &= ~names_run | (_is_string(fields, name) & ~_escaped(fields, name))
    time = _times(fields, sure)
    _stand_in(fields, "insert_id", "$insert_id")
    for name in _IDS:
        sure &= _is_usual_id(fields, name)
    row = np.flatnonzero(sure & (time != MISSING))
    runs = _runs(fields, row[names_run[row]])
    fields.length[at["experiment_key",], is_exposure] = -1

    members = [joined(',"time":', pa.array(time[row]).cast(pa.large_string()))]
    for name in FIELDS:
        texts = fields.texts((name,)).take(row)
        if name not in _REPLACED and (texts.length >= 0).any():
            value = texts.arrow().view(pa.large_string())
            if name in _IDS:
                value = pc.replace_substring_regex(value, _NUMBER, r'"\1\2"')
            members.append(joined(f",{quoted(name)}:", value))
    return Translated(row, is_exposure[row], joined("{", listed(members), "}"), time[row], runs)


def _is_string(fields: Scanned, name: str) -> Mask:
    texts = fields.texts((name,))
    return (texts.length > 0) & (fields.data[np.maximum(texts.start, 0)] == _QUOTE)


def _is_usual_id(fields: Scanned, name: str) -> Mask:
    """Where an id is a text or a whole number, or missing."""
    value = fields.texts((name,)).arrow().view(pa.large_string())
    if not len(value.drop_null()):
        return np.ones(len(value), np.bool_)
    unusual = pc.and_not(pc.match_substring_regex(value, _UNUSUAL), pc.match_substring_regex(value, _NUMBER))
    return ~unusual.fill_null(False).to_numpy(zero_copy_only=False)


def _escaped(fields: Scanned, name: str) -> Mask:
    """Where the JSON text of a field has escapes."""
    found = pc.match_substring(fields.texts((name,)).arrow(), "\\").fill_null(False)
    return found.to_numpy(zero_copy_only=False)


def _stand_in(fields: Scanned, name: str, other: str) -> None:
    """Where a field is missing, another one is taken for it."""
    one, two = _WANTED.position[name,], _WANTED.position[other,]
    missing = fields.length[one] < 0
    for column in (fields.start, fields.length, fields.number):
        column[one, missing] = column[two, missing]


def _take_from_properties(fields: Scanned, its: NDArray[np.int64], said: Scanned, off: int) -> Mask:
    """Make exposures of these events; whether each is sure. At `off` stands what no variant means."""
    paths = [path for path in said.wanted.fields if path != _OBJECT]
    for name, path in zip(_MEANT, paths, strict=True):
        for column, of in ((fields.start, said.start), (fields.length, said.length)):
            column[_WANTED.position[name,], its] = of[said.wanted.position[path]]
    for name in ("event_type", "event_properties"):
        fields.length[_WANTED.position[name,], its] = -1
    is_text = _is_string(fields, "variant")[its]
    variant = _WANTED.position["variant",]
    length = fields.length[variant, its]
    left = its[(length < 0) | (is_text & (length == len('""')))]
    fields.start[variant, left], fields.length[variant, left] = off, len(_OFF)
    return ~said.odd & (is_text | (length < 0))


def _times(fields: Scanned, sure: Mask) -> NDArray[np.int64]:
    """Each row's time (ms UTC), MISSING where it says none or an unusual one."""
    _stand_in(fields, "time", "event_time")
    number = fields.number[_WANTED.position["time",]]
    whole = (number == np.floor(number)) & (np.abs(number) < _MOST) & ~_is_string(fields, "time")
    time = np.where(whole, number, MISSING).astype(np.int64)

    rows = np.flatnonzero(sure & _is_string(fields, "time"))
    quotes = fields.texts(("time",)).take(rows)
    texts = Texts(quotes.data, quotes.start + 1, quotes.length - 2).arrow().view(pa.large_string())
    digits = pc.match_substring_regex(texts, f"^{MILLISECONDS.pattern}$").to_numpy(zero_copy_only=False)
    whole = pc.replace_substring_regex(texts.filter(pa.array(digits)), r"\.0+$", "")
    time[rows[digits]] = whole.cast(pa.int64()).to_numpy()
    usual = pc.match_substring_regex(texts, f"^{_DAY}[ T]{_CLOCK}{_ZONE}?$")
    rows, texts = rows[usual.to_numpy(zero_copy_only=False)], pc.replace_substring(texts.filter(usual), " UTC", "Z")
    zoned = pc.if_else(pc.match_substring_regex(texts, f" {_CLOCK}$|T{_CLOCK}$"), joined(texts, "Z"), texts)
    try:
        moments = zoned.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # one of them is on no calendar
        return time
    since = moments.cast(pa.int64()).to_numpy()
    time[rows] = np.where(since >= 0, since // 1000, MISSING)
    return time


def _runs(fields: Scanned, rows: NDArray[np.int64]) -> Counter[tuple[str, str]]:
    """How many of these rows name each flag and run."""
    flags, runs = (
        fields.texts((name,)).take(rows).arrow().view(pa.large_string()) for name in ("flag_key", "experiment_key")
    )
    counted = pc.value_counts(joined(flags, runs)).to_pylist()
    found = [(each["values"][1:-1].split('""'), each["counts"]) for each in counted]
    return Counter({(flag, run): count for (flag, run), count in found})
