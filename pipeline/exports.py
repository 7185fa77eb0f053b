"""Exports: rows as Amplitude exports them, and as people write times, said in the words of the topics.

`event_time` stands in for `time`, `$insert_id` for `insert_id`. A time may be ISO 8601, UTC unless it says otherwise
(or says so as BigQuery does: `… UTC`).
Events of the type `$exposure` (client SDKs) and `[Experiment] Exposure` (server SDKs, and what Amplitude makes of the
former) are exposures; one without a variant says that the unit left, and is taken as `off`. The run and the version of
the flag that an exposure names mean nothing beside definitions that know no runs: they are left out.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from schemas.topics import EXPOSURES

EXPOSURE_EVENTS = ("$exposure", "[Experiment] Exposure")  # of client SDKs; of servers, and as exported

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_NOTHING = msgspec.Raw()


class Row(msgspec.Struct, omit_defaults=True, gc=False, rename={"their_id": "$insert_id"}):
    """Whatever fields some message has. What is only passed on is not read."""

    event_type: Any = None
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None
    time: Any = None
    event_time: Any = None
    user_id: msgspec.Raw = _NOTHING
    device_id: msgspec.Raw = _NOTHING
    insert_id: Any = None
    their_id: Any = None
    groups: msgspec.Raw = _NOTHING
    event_properties: msgspec.Raw = _NOTHING
    user_properties: msgspec.Raw = _NOTHING
    group_properties: msgspec.Raw = _NOTHING
    country: msgspec.Raw = _NOTHING
    region: msgspec.Raw = _NOTHING
    city: msgspec.Raw = _NOTHING
    dma: msgspec.Raw = _NOTHING
    language: msgspec.Raw = _NOTHING
    platform: msgspec.Raw = _NOTHING
    version: msgspec.Raw = _NOTHING
    os: msgspec.Raw = _NOTHING
    device_manufacturer: msgspec.Raw = _NOTHING
    device_brand: msgspec.Raw = _NOTHING
    device_model: msgspec.Raw = _NOTHING
    carrier: msgspec.Raw = _NOTHING
    library: msgspec.Raw = _NOTHING
    ip_address: msgspec.Raw = _NOTHING


class OfClient(msgspec.Struct):
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None


class OfServer(msgspec.Struct, rename=lambda name: f"[Experiment] {name.replace('_', ' ').title()}"):
    flag_key: Any = None
    variant: Any = None
    experiment_key: Any = None


_rows = msgspec.json.Decoder(Row)
_encoder = msgspec.json.Encoder()
SAID: dict[str, type[OfClient | OfServer]] = dict(zip(EXPOSURE_EVENTS, (OfClient, OfServer), strict=True))
_exposures: dict[str, msgspec.json.Decoder[OfClient | OfServer | None]] = {
    name: msgspec.json.Decoder(said | None) for name, said in SAID.items()
}


class Message(NamedTuple):
    """A row as a message of its topic."""

    topic: str
    value: bytes
    time: int | None  # ms UTC; None: it cannot be read
    run: tuple[str, str] | None = None  # the flag and the run that an exposure names


def to_message(line: bytes, topic: str) -> Message | None:
    """The message that a row makes, or None where the row says no time. What is no JSON object stays as it is."""
    try:
        row = _rows.decode(line)
        if row.event_type in EXPOSURE_EVENTS:
            topic = EXPOSURES
            said = _exposures[row.event_type].decode(row.event_properties or b"null") or SAID[row.event_type]()
            row.event_type, row.event_properties = None, _NOTHING
            row.flag_key, row.variant, row.experiment_key = said.flag_key, said.variant or "off", said.experiment_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Message(topic, line, None)
    row.time = row.event_time if row.time is None else row.time
    row.insert_id = row.their_id if row.insert_id is None else row.insert_id
    row.event_time = row.their_id = None
    if row.time is None:
        return None
    if isinstance(row.time, str):
        row.time = _milliseconds(row.time)
    elif isinstance(row.time, float) and row.time.is_integer():  # of a column that has holes
        row.time = int(row.time)
    time = row.time if isinstance(row.time, int) else None
    run = None
    if topic == EXPOSURES and row.experiment_key is not None:
        run = str(row.flag_key), str(row.experiment_key)
        row.experiment_key = None
    return Message(topic, _encoder.encode(row), time, run)


def _milliseconds(text: str) -> int | str:
    """Milliseconds since 1970 UTC; a text that is no ISO 8601 as it is."""
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return text
    return (moment - _EPOCH) // _MILLISECOND
