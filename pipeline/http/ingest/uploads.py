"""Uploads: what Amplitude's SDKs send, as records of our topics. All of it is checked before any of it is sent.

Events go on as they came, in a record that holds many (one a line). Those of the types `$exposure` (client SDKs) and
`[Experiment] Exposure` (server SDKs) become exposures; one without a variant says that the unit met none, which is
`off`. `$identify` and `$groupidentify` are events too: no property is kept for a unit, since results must follow from
the log alone, and a condition reads the properties that a message carries itself.
"""

import re
from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec

from evaluation.assignment.wrong_types import in_words
from evaluation.columns.nesting import DEEPEST, json_depth
from evaluation.columns.scanning import LARGEST_OBJECT, LONGEST_TEXT
from pipeline.files.exports import EXPOSURE_EVENTS, LEFT_OUT, PassedOn
from pipeline.http.ingest.lines import parts
from schemas.numbers import LATEST, is_in_seconds
from schemas.topics import EVENTS, EXPOSURES

MOST_EVENTS = 2_000  # of one request, as Amplitude limits them
MIN_ID_LENGTH = 5  # characters of a user_id or device_id, unless the request says otherwise: Amplitude's

Indices = dict[str, list[int]]  # of events, by field


class Refusal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why nothing of a request was taken, in Amplitude's words. `code` is the status."""

    code: int
    error: str
    missing_field: str | None = None
    events_with_missing_fields: Indices = {}
    events_with_invalid_fields: Indices = {}
    events_with_invalid_id_lengths: Indices = {}
    eps_threshold: int | None = None
    throttled_events: list[int] = []


class UploadError(Exception):
    """A request of which nothing was taken."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class Options(msgspec.Struct):
    """Of one request."""

    min_id_length: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Upload(msgspec.Struct):
    """A request: its key and its events."""

    api_key: str | None = None
    events: list[msgspec.Raw] | None = None
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A value for one of our topics: a JSON object, or several, one a line."""

    topic: str
    value: bytes
    count: int


class _Object(msgspec.Struct):
    """An object whose fields are not looked at."""


_NAMES_OF_SERVERS = {
    name: f"[Experiment] {name.replace('_', ' ').title()}" for name in ("flag_key", "variant", "experiment_key")
}
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]


_Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST)]


class _Event(msgspec.Struct, gc=False):
    """What must be right about an event, lest it end in `dead-letters`."""

    event_type: _Text | None = None
    user_id: _Text | None = None
    device_id: _Text | None = None
    time: _Time | None = None
    insert_id: _Text | None = None
    groups: dict[str, _Text | list[_Text]] | None = None
    event_properties: _Object | None = None
    user_properties: _Object | None = None


class _Exposure(PassedOn, omit_defaults=True, gc=False):
    """An exposure on its way from an event to a record; what is only passed on is not looked at."""

    event_type: str | None = None
    flag_key: str | None = None
    variant: str | None = None
    experiment_key: str | None = None
    metadata: msgspec.Raw = LEFT_OUT
    time: int | None = None
    user_id: str | None = None
    device_id: str | None = None
    insert_id: str | None = None


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    """What is read of an exposure's metadata."""

    flag_version: int | None = None
    experiment_key: _Text | None = None


class _OfClient(msgspec.Struct, gc=False):
    """What a client's exposure says in its event_properties."""

    flag_key: _Text | None = None
    variant: _Text | None = None
    experiment_key: _Text | None = None
    metadata: _Metadata | None = None
    time: _Time | None = None


class _OfServer(_OfClient, gc=False, rename=lambda name: _NAMES_OF_SERVERS.get(name, name)):
    """And a server's."""

    flag_key: _Text | None = None
    variant: _Text | None = None
    experiment_key: _Text | None = None


class _Whole(msgspec.Struct, gc=False):
    """What is passed on of either, with what is not read."""

    metadata: msgspec.Raw = LEFT_OUT


_upload = msgspec.json.Decoder(Upload)
_event = msgspec.json.Decoder(_Event)
_events = msgspec.json.Decoder(list[_Event])
_exposure = msgspec.json.Decoder(_Exposure)
_said: dict[str, msgspec.json.Decoder[Any]] = dict(
    zip(EXPOSURE_EVENTS, (msgspec.json.Decoder(_OfClient), msgspec.json.Decoder(_OfServer)), strict=True)
)
_whole = msgspec.json.Decoder(_Whole)
_lines = msgspec.json.Encoder()


def read_upload(body: bytes) -> Upload:
    """The request that JSON makes. Raises UploadError."""
    try:
        body.decode()
        return _upload.decode(body.removeprefix(BOM_UTF8))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UploadError(Refusal(code=400, error=f"the request cannot be read: {error}")) from None
    except RecursionError:
        raise UploadError(Refusal(code=400, error="the request is nested too deeply")) from None


def read_form(form: bytes, name: str, event_type: str) -> Upload:
    """The request that a form makes: its key, and what its field `name` identifies. Raises UploadError."""
    try:
        fields = parse_qs(form.decode(), strict_parsing=True, max_num_fields=20)
        text = fields.get(name, [""])[-1].encode()
        said = msgspec.json.decode(text, type=list[dict[str, Any]] | dict[str, Any]) if text else None
    except (msgspec.MsgspecError, ValueError) as error:
        raise UploadError(Refusal(code=400, error=f"the form cannot be read: {error}")) from None
    except RecursionError:
        raise UploadError(Refusal(code=400, error="the form is nested too deeply")) from None
    if said is None:
        raise _missing(name)
    identified = said if isinstance(said, list) else [said]
    events = [_of_group(each) if event_type == "$groupidentify" else each for each in identified]
    raws = [msgspec.Raw(msgspec.json.encode(each | {"event_type": event_type})) for each in events]
    return Upload(api_key=fields.get("api_key", [""])[-1], events=raws)


def records_of(upload: Upload) -> list[Record]:
    """What the request says, for each of our topics. Raises UploadError, naming fields and events by index."""
    if upload.events is None:
        raise _missing("events")
    events, raws = _checked(upload.events, upload.options.min_id_length if upload.options else None)
    types = [event.event_type for event in events]
    exposed = [i for i, event_type in enumerate(types) if event_type in _said]
    if not exposed:
        return _records(EVENTS, raws)
    exposures = _exposures(exposed, raws)
    others = [raw for raw, event_type in zip(raws, types, strict=True) if event_type not in _said]
    return [*_records(EXPOSURES, exposures), *_records(EVENTS, others)]


def _checked(raws: list[msgspec.Raw], min_id_length: int | None) -> tuple[list[_Event], list[bytes]]:
    """The events, all of which are right, and the line of each."""
    if len(raws) > MOST_EVENTS:
        error = f"the request holds {len(raws)} events, at most {MOST_EVENTS} are taken at once; send them in parts"
        raise UploadError(Refusal(code=413, error=error))
    lines = [*map(bytes, raws)]
    if max(map(len, lines), default=0) > LARGEST_OBJECT:
        large = [i for i, line in enumerate(lines) if len(line) > LARGEST_OBJECT]
        error = f"events {large} have more than {LARGEST_OBJECT} bytes each; send less"
        raise UploadError(Refusal(code=413, error=error))
    joined = b"[" + b",".join(lines) + b"]"
    if json_depth(joined) > DEEPEST:
        deep = [i for i, line in enumerate(lines) if json_depth(line) > DEEPEST]
        if deep:
            error = f"at most {DEEPEST} levels of nesting are read; flatten the events"
            raise UploadError(Refusal(code=400, error=error, events_with_invalid_fields={"event_properties": deep}))
    try:
        events = _events.decode(joined)
    except msgspec.ValidationError:
        raise _invalid(enumerate(lines), _event.decode) from None
    if b"\n" in joined:
        lines = [msgspec.json.format(line, indent=-1) for line in lines]
    shortest = MIN_ID_LENGTH if min_id_length is None else min_id_length
    missing: Indices = {}
    if untyped := [i for i, event in enumerate(events) if not event.event_type]:
        missing["event_type"] = untyped
    if unnamed := [i for i, event in enumerate(events) if not (event.user_id or event.device_id or event.groups)]:
        missing |= {"user_id": unnamed, "device_id": unnamed}
    if missing:
        error = "events lack a type or a unit; send event_type, and user_id or device_id"
        raise UploadError(Refusal(code=400, error=error, events_with_missing_fields=missing))
    if early := [i for i, event in enumerate(events) if event.time and is_in_seconds(event.time)]:
        error = "times would be early in the 1970s; are they in seconds? Send milliseconds"
        raise UploadError(Refusal(code=400, error=error, events_with_invalid_fields={"time": early}))
    short: Indices = {}
    if ids := [i for i, event in enumerate(events) if event.user_id and len(event.user_id) < shortest]:
        short["user_id"] = ids
    if ids := [i for i, event in enumerate(events) if event.device_id and len(event.device_id) < shortest]:
        short["device_id"] = ids
    if short:
        error = f"ids have less than {shortest} characters; send longer ones, or options.min_id_length"
        raise UploadError(Refusal(code=400, error=error, events_with_invalid_id_lengths=short))
    return events, lines


def _records(topic: str, lines: list[bytes]) -> list[Record]:
    return [Record(topic, b"\n".join(part), len(part)) for part in parts(lines)]


def _exposures(indices: list[int], lines: list[bytes]) -> list[bytes]:
    """The events at these indices as exposures."""
    try:
        exposures = [_as_exposure(lines[i]) for i in indices]
    except msgspec.ValidationError:
        raise _invalid(((i, lines[i]) for i in indices), _as_exposure, "event_properties") from None
    if nameless := [i for i, exposure in zip(indices, exposures, strict=True) if not exposure.flag_key]:
        error = "exposures name no flag; send event_properties.flag_key"
        missing = {"event_properties.flag_key": nameless}
        raise UploadError(Refusal(code=400, error=error, events_with_missing_fields=missing))
    return [*map(_lines.encode, exposures)]


def _as_exposure(line: bytes) -> _Exposure:
    event = _exposure.decode(line)
    properties = event.event_properties or b"{}"
    said = _said[event.event_type or ""].decode(properties)
    event.event_type, event.event_properties, event.metadata = None, LEFT_OUT, LEFT_OUT
    event.flag_key, event.variant, event.experiment_key = said.flag_key, said.variant or "off", said.experiment_key
    if event.time is None:
        event.time = said.time
    if said.metadata is not None:
        event.metadata = _whole.decode(properties).metadata
        event.experiment_key = said.experiment_key or said.metadata.experiment_key
    if b'"$' in bytes(event.user_properties):
        event.user_properties = msgspec.Raw(_lines.encode(_properties(event.user_properties)))
    return event


def _properties(raw: msgspec.Raw) -> dict[str, Any]:
    """The properties that operations such as `$set` give, beside those that stand for themselves."""
    said = msgspec.json.decode(raw, type=dict[str, Any])
    given = [said.get(name) or {} for name in ("$setOnce", "$set")]
    plain = {name: value for name, value in said.items() if not name.startswith("$")}
    return plain | {name: value for each in given if isinstance(each, dict) for name, value in each.items()}


def _of_group(said: dict[str, Any]) -> dict[str, Any]:
    """A group's properties as an event has them: by the group's type and name."""
    rest = {
        name: value for name, value in said.items() if name not in ("group_type", "group_value", "group_properties")
    }
    kind, name, properties = (said.get(field) for field in ("group_type", "group_value", "group_properties"))
    names = name if isinstance(name, list) else [name]
    if not isinstance(kind, str) or not names or not all(isinstance(each, str) for each in names):
        error = "a group has a type and a name; send group_type and group_value as texts, or a list of values"
        raise UploadError(Refusal(code=400, error=error))
    return rest | {"groups": {kind: name}, "group_properties": {kind: dict.fromkeys(names, properties)}}


def _invalid(lines: Iterable[tuple[int, bytes]], decode: Callable[[bytes], object], within: str = "") -> UploadError:
    """Which fields of which events are wrong."""
    invalid: defaultdict[str, list[int]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for i, line in lines:
        try:
            decode(line)
        except msgspec.ValidationError as error:
            path = re.search(r"`\$\.(\w+)", str(error))
            field = ".".join(filter(None, (within, path[1]))) if path else "event"
            invalid[field].append(i)
            reasons.setdefault(field, in_words(str(error), line, within))
    words = f"events have fields that cannot be used: {'; '.join(reasons.values())}"
    return UploadError(Refusal(code=400, error=words, events_with_invalid_fields=dict(invalid)))


def _missing(field: str) -> UploadError:
    return UploadError(Refusal(code=400, error=f"the request lacks '{field}'", missing_field=field))
