"""Exports: rows as Amplitude exports them, and as people write times, said in the words of the topics.

`event_time` stands in for `time`, `$insert_id` for `insert_id`. A time may be ISO 8601, UTC unless it says otherwise
(as BigQuery does: `… UTC`; or Snowflake: `… -0800`), or its milliseconds as a text. Ids may be whole numbers, also as
floats (`1001.0`, `1e+05`); a text is the id that it is, unless it stands for no value or a sheet has taken its digits.
Events of the type `$exposure` (client SDKs) and `[Experiment] Exposure` (server SDKs, and what Amplitude makes of the
former) are exposures; one without a variant says that the unit left, and is taken as `off`. The run and the version of
the flag that an exposure names mean nothing beside definitions that know no runs: they are left out.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from schemas.topics import EXPOSURES

EXPOSURE_EVENTS = ("$exposure", "[Experiment] Exposure")  # of client SDKs; of servers, and as exported

MILLISECONDS = re.compile(r"([0-9]{12,13})(?:\.0+)?")  # of 1973 to 2286; as a column of floats has it
WHOLE = re.compile(b"-?[0-9]+")  # an id
NONE = ("NA", "<NA>", "N/A", "#N/A", "NaN", "nan", "NULL", "null")  # as R, pandas and sheets write no value
NO_IDS = (*NONE, "None")
# What is no id, though it is a text: a number that a sheet has shortened; or no value.
UNLIKE_ID = rf"-?[0-9](\.[0-9]+)?E\+[0-9]+|{'|'.join(NO_IDS)}"

_SHORTENED = re.compile(r"[0-9](?:\.[0-9]+)?e\+12")  # milliseconds, as R writes round ones
_BEFORE_A_ZONE = re.compile(r" (?=Z$|[+-][0-9]{2}:?[0-9]{2}$)")
_UNLIKE_ID = re.compile(UNLIKE_ID)
_EXACT = 10**15  # a float has all digits of whole numbers below
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
LEFT_OUT = msgspec.Raw()  # this very one: a field that holds it is left out


class PassedOn(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What of an event at Amplitude is passed on unread. It stands behind the other fields of a message."""

    groups: msgspec.Raw = LEFT_OUT
    event_properties: msgspec.Raw = LEFT_OUT
    user_properties: msgspec.Raw = LEFT_OUT
    group_properties: msgspec.Raw = LEFT_OUT
    country: msgspec.Raw = LEFT_OUT
    region: msgspec.Raw = LEFT_OUT
    city: msgspec.Raw = LEFT_OUT
    dma: msgspec.Raw = LEFT_OUT
    language: msgspec.Raw = LEFT_OUT
    platform: msgspec.Raw = LEFT_OUT
    version: msgspec.Raw = LEFT_OUT
    os: msgspec.Raw = LEFT_OUT
    device_manufacturer: msgspec.Raw = LEFT_OUT
    device_brand: msgspec.Raw = LEFT_OUT
    device_model: msgspec.Raw = LEFT_OUT
    carrier: msgspec.Raw = LEFT_OUT
    library: msgspec.Raw = LEFT_OUT
    ip_address: msgspec.Raw = LEFT_OUT


class ExportRow(PassedOn, omit_defaults=True, gc=False, rename={"their_id": "$insert_id"}):
    """Whatever fields some message has. What is only passed on is not read."""

    event_type: Any = None
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None
    time: Any = None
    event_time: Any = None
    user_id: msgspec.Raw = LEFT_OUT
    device_id: msgspec.Raw = LEFT_OUT
    insert_id: msgspec.Raw = LEFT_OUT
    their_id: msgspec.Raw = LEFT_OUT


FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(ExportRow))


class OfClient(msgspec.Struct):
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None


class OfServer(msgspec.Struct, rename=lambda name: f"[Experiment] {name.replace('_', ' ').title()}"):
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None


_rows = msgspec.json.Decoder(ExportRow)
_encoder = msgspec.json.Encoder()
SAID: dict[str, type[OfClient | OfServer]] = dict(zip(EXPOSURE_EVENTS, (OfClient, OfServer), strict=True))
_exposures: dict[str, msgspec.json.Decoder[OfClient | OfServer | None]] = {
    name: msgspec.json.Decoder(said | None) for name, said in SAID.items()
}


class RowError(ValueError):
    """A row that says something which cannot be taken at its word."""


class Message(NamedTuple):
    """A row as a message of its topic."""

    topic: str
    value: bytes
    time: int | str | None  # ms UTC; a text that is no time; None: it is something else
    run: tuple[str, str] | None = None  # the flag and the run that an exposure names


def to_message(line: bytes, topic: str) -> Message | None:
    """The message that a row makes, or None where it says no time. What is no JSON object stays as it is.

    Raises RowError where an id has lost digits.
    """
    try:
        row = _rows.decode(line)
        if row.event_type in EXPOSURE_EVENTS:
            topic = EXPOSURES
            said = _exposures[row.event_type].decode(row.event_properties or b"null") or SAID[row.event_type]()
            row.event_type, row.event_properties = None, LEFT_OUT
            row.flag_key, row.variant, row.experiment_key = said.flag_key, said.variant or "off", said.experiment_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Message(topic, line, None)
    row.time = row.event_time if row.time is None else row.time
    insert_id = row.their_id if bytes(row.insert_id) in (b"", b"null") else row.insert_id
    row.user_id, row.device_id, row.insert_id = map(_as_id, (row.user_id, row.device_id, insert_id))
    row.event_time, row.their_id = None, LEFT_OUT
    if row.time is None:
        return None
    if isinstance(row.time, str):
        row.time = _milliseconds(row.time)
    elif isinstance(row.time, float) and row.time.is_integer():  # of a column that has holes
        row.time = int(row.time)
    time = row.time if isinstance(row.time, int | str) else None
    run = None
    if topic == EXPOSURES and row.experiment_key is not None:
        run = str(row.flag_key), str(row.experiment_key)
        row.experiment_key = None
    return Message(topic, _encoder.encode(row), time, run)


def says_no_time(line: bytes) -> str:
    """What is wrong with a row for which `to_message` gives None."""
    said = [name for name, value in msgspec.json.decode(line).items() if value is not None]
    return f"the row has no `time`, only {', '.join(said[:8]) or 'nothing'}; add it, in ms UTC or as ISO 8601"


def _milliseconds(text: str) -> int | str:
    """Milliseconds since 1970 UTC; a text that says no time as it is."""
    if found := MILLISECONDS.fullmatch(text):
        return int(found[1])
    if _SHORTENED.fullmatch(text):
        return int(Decimal(text))
    try:
        moment = datetime.fromisoformat(_BEFORE_A_ZONE.sub("", text.removesuffix(" UTC")))
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return text
    return (moment - _EPOCH) // _MILLISECOND


def _as_id(value: msgspec.Raw) -> msgspec.Raw:
    """An id as a string, where it is a whole number; nothing, where it stands for no value."""
    written = bytes(value)
    if WHOLE.fullmatch(written):
        return msgspec.Raw(b'"%b"' % written)
    text = written.strip(b'"').decode(errors="replace")
    is_number = written[:1] in b"-0123456789" and bool(written)
    if not (is_number or _UNLIKE_ID.fullmatch(text)):
        return value
    if text in NO_IDS:
        return LEFT_OUT
    number = Decimal(text)
    if number != int(number):
        return value
    # A sheet writes only the digits that it shows.
    if abs(number) >= _EXACT or not is_number:
        raise RowError(f"the id {text} has lost digits on its way; write ids as texts")
    return msgspec.Raw(b'"%d"' % int(number))
