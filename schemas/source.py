"""Source: a topic of the cluster that is not ours, and how its records are read as exposures or events."""

from typing import Annotated, Literal

import msgspec

from schemas.written import Duration, Key, Operator, Strict, Switch, Text, Value

ROOT = "$"  # the path of the whole record
KEY_PATH = "$key"
HEADER_PATH = "$header."
CONSTANT = "="

SourceFormat = Literal["json", "ndjson", "avro", "protobuf", "arrow"]
REGISTERED = ("avro", "protobuf")  # formats that only a schema explains, which a registry has
TimeUnit = Literal["ms", "s", "us", "ns", "iso8601"]
Preset = Literal[
    "segment",
    "rudderstack",
    "snowplow",
    "cloudevents",
    "amplitude",
    "posthog",
    "growthbook",
    "statsig",
    "debezium",
]
TopicName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$(?!\n)",
        description="the name of a topic: 1 to 249 letters, digits, '.', '_' and '-', but neither '.' nor '..'",
    ),
]
FieldPath = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1024,
        description="a path: names joined by dots ('a.b' in quotes is one name, a number is an index), $, $key or "
        "$header.NAME",
    ),
]
Taken = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1024,
        description="a path (order.customer.id, items.0.sku, $key, $header.NAME), or = and a constant",
    ),
]
FirstOf = Annotated[tuple[Taken, ...], msgspec.Meta(min_length=1, max_length=20)]  # the first that is there
Taking = Taken | FirstOf
Paths = FieldPath | Annotated[tuple[FieldPath, ...], msgspec.Meta(min_length=1, max_length=20)]


class TimeAt(Strict, frozen=True, kw_only=True):
    """Where the time stands, and in which unit. `iso8601` without an offset is UTC."""

    path: Paths
    unit: TimeUnit = "ms"


class FieldMap(Strict, frozen=True, kw_only=True):
    """Our fields, and what each is taken from: a path, a list of which the first counts that is there, or a constant.

    Constants begin with `=`. Properties and groups are taken by name, or all that an object holds. A number, true or
    false is a text where a text is wanted, as it is written.
    """

    event_type: Taking | None = None
    flag_key: Taking | None = None
    variant: Taking | None = None
    experiment_key: Taking | None = None
    user_id: Taking | None = None
    device_id: Taking | None = None
    groups: Paths | dict[Text, Taking] | None = None
    time: Paths | TimeAt | None = None
    insert_id: Taking | None = None
    event_properties: Paths | dict[Text, Taking] | None = None
    user_properties: Paths | dict[Text, Taking] | None = None
    metadata: Paths | dict[Text, Taking] | None = None
    country: Taking | None = None
    region: Taking | None = None
    city: Taking | None = None
    dma: Taking | None = None
    language: Taking | None = None
    platform: Taking | None = None
    version: Taking | None = None
    os: Taking | None = None
    device_manufacturer: Taking | None = None
    device_brand: Taking | None = None
    device_model: Taking | None = None
    carrier: Taking | None = None
    library: Taking | None = None
    ip_address: Taking | None = None


class SourceCondition(Strict, frozen=True, kw_only=True):
    """What stands at a path of the record, compared with values, by the operators of metrics' conditions."""

    property: FieldPath
    op: Operator
    values: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1)]


class ForeignSource(Strict, frozen=True, kw_only=True):
    """A topic of this cluster that is read beside our own, as it is: one YAML file in `configs/sources/`.

    Its records become events, or exposures, by the `map` of our fields to what stands in them; a `preset` is the map of
    a product, of which `map` replaces fields. With `each`, the path of an array, every element becomes one; a path that
    begins so is of the element. Texts at the paths of `parse` hold JSON, into which paths lead on. Records that do not
    satisfy every condition of `where` are left out. A record's own `content-type` comes before the `format` where it
    says JSON, JSON lines or Arrow.

    It is read `from` now on, from the beginning, or from a time, but never from further back than a horizon. `delay` is
    for topics whose records carry their producer's time: a record that comes so much later is late. A source that is
    `paused` is not read.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text | None = None
    tags: tuple[Text, ...] = ()
    topic: TopicName
    format: SourceFormat = "json"
    makes: Literal["event", "exposure"] = msgspec.field(name="as")
    preset: Preset | None = None
    each: FieldPath | None = None
    parse: Annotated[tuple[FieldPath, ...], msgspec.Meta(max_length=20)] = ()
    where: tuple[SourceCondition, ...] = ()
    map: FieldMap = FieldMap()
    since: Annotated[
        str, msgspec.Meta(min_length=1, description="now, beginning, or an ISO 8601 date or date and time")
    ] = msgspec.field(default="now", name="from")
    delay: Duration | None = None
    paused: Switch = False
