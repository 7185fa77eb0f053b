"""Presets: how the records of common products become ours, each as that product's own documentation has them."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from schemas.source import FieldMap, ForeignSource, Preset, SourceCondition, TimeAt


@dataclass(frozen=True, slots=True)
class PresetMap:
    """What a preset fills in: the map and, where the document says none itself, the conditions, and what to parse."""

    makes: Literal["event", "exposure"]
    map: FieldMap
    where: tuple[SourceCondition, ...] = ()
    parse: tuple[str, ...] = ()


_SEGMENT = FieldMap(
    event_type=("event", "type"),  # what is no `track` is called as its type: page, screen, identify, group, alias
    user_id="userId",
    device_id="anonymousId",
    time=TimeAt(path=("timestamp", "originalTimestamp", "sentAt"), unit="iso8601"),
    insert_id="messageId",
    event_properties="properties",
    user_properties=("traits", "context.traits"),
    version="context.app.version",
    os="context.os.name",
    ip_address="context.ip",
    language="context.locale",
    library="context.library.name",
)

PRESETS: dict[Preset, PresetMap] = {
    # https://segment.com/docs/connections/spec/common/
    "segment": PresetMap("event", _SEGMENT),
    # https://www.rudderstack.com/docs/event-spec/standard-events/common-fields/
    "rudderstack": PresetMap("event", _SEGMENT),
    # Enriched events as the analytics SDKs write them: https://docs.snowplow.io/docs/fundamentals/canonical-event/
    # Structured events are called by their action, self-describing ones by the name of their schema.
    "snowplow": PresetMap(
        "event",
        FieldMap(
            event_type=("se_action", "event_name", "event"),
            user_id="user_id",
            device_id=("domain_userid", "network_userid"),
            time=TimeAt(path=("derived_tstamp", "dvce_created_tstamp", "collector_tstamp"), unit="iso8601"),
            insert_id="event_id",
            event_properties="$",
            country="geo_country",
            region="geo_region",
            city="geo_city",
            language="br_lang",
            platform="platform",
            os="os_name",
            library="name_tracker",
            ip_address="user_ipaddress",
        ),
    ),
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
    # Binary content has its attributes in headers and the data as the value, structured content both in the value.
    # They know no user: the document says where the data has one.
    "cloudevents": PresetMap(
        "event",
        FieldMap(
            event_type=("$header.ce_type", "type"),
            time=TimeAt(path=("$header.ce_time", "time"), unit="iso8601"),
            insert_id=("$header.ce_id", "id"),
            event_properties=("data", "$"),
        ),
    ),
    # https://amplitude.com/docs/apis/analytics/export
    "amplitude": PresetMap(
        "event",
        FieldMap(
            event_type="event_type",
            user_id="user_id",
            device_id="device_id",
            groups="groups",
            time=TimeAt(path=("event_time", "client_event_time"), unit="iso8601"),
            insert_id=("$insert_id", "uuid"),
            event_properties="event_properties",
            user_properties="user_properties",
            country="country",
            region="region",
            city="city",
            dma="dma",
            language="language",
            platform="platform",
            version="version_name",
            os="os_name",
            device_manufacturer="device_manufacturer",
            device_brand="device_brand",
            device_model="device_model",
            carrier="device_carrier",
            library="library",
            ip_address="ip_address",
        ),
    ),
    # https://posthog.com/docs/api/capture, https://posthog.com/docs/cdp/batch-exports/s3
    # What its own topic for ClickHouse has (`clickhouse_events_json`) holds properties as texts.
    "posthog": PresetMap(
        "event",
        FieldMap(
            event_type="event",
            user_id=("distinct_id", "properties.distinct_id"),
            device_id="properties.$device_id",
            groups="properties.$groups",
            time=TimeAt(path="timestamp", unit="iso8601"),
            insert_id="uuid",
            event_properties="properties",
            user_properties=("person_properties", "$set", "properties.$set"),
            country="properties.$geoip_country_name",
            city="properties.$geoip_city_name",
            os="properties.$os",
            version="properties.$app_version",
            ip_address="properties.$ip",
            library="properties.$lib",
        ),
        parse=("properties", "person_properties"),
    ),
    # What its tracking callbacks send by Segment's or RudderStack's libraries, or as rows of its own columns:
    # https://docs.growthbook.io/event-trackers/segment, https://docs.growthbook.io/app/datasources
    # A variation is called by its key; unless it was given one, by its index from 0: name the variants so.
    "growthbook": PresetMap(
        "exposure",
        FieldMap(
            flag_key=("properties.experimentId", "properties.experiment_id", "experiment_id"),
            variant=("properties.variationId", "properties.variation_id", "variation_id"),
            user_id=("userId", "user_id"),
            device_id=("anonymousId", "anonymous_id", "device_id"),
            time=TimeAt(path=("timestamp", "originalTimestamp", "sentAt"), unit="iso8601"),
            insert_id="messageId",
            user_properties="context.traits",
            library="context.library.name",
        ),
        (
            SourceCondition(
                property="event",
                op="is",
                values=("Experiment Viewed", "experiment_viewed", "viewed_experiment", "(none)"),
            ),
        ),
    ),
    # https://docs.statsig.com/api-reference/events/log-custom-exposure-events, and what its SDKs log
    # A group is called by its name where one is given, a gate's by its value, another by the id of its rule.
    "statsig": PresetMap(
        "exposure",
        FieldMap(
            flag_key=("metadata.config", "metadata.gate", "experimentName", "gateName"),
            variant=("group", "metadata.groupName", "metadata.gateValue", "metadata.ruleID", "ruleID"),
            user_id="user.userID",
            device_id="user.customIDs.stableID",
            time="time",
            user_properties="user.custom",
            country="user.country",
            version="user.appVersion",
            language="user.locale",
            ip_address="user.ip",
        ),
        (
            SourceCondition(
                property="eventName",
                op="is",
                values=("statsig::config_exposure", "statsig::gate_exposure", "(none)"),
            ),
        ),
    ),
    # https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-create-events
    # A row that was inserted is an event that is called as its table, with the envelope of schemas or without it. Whose
    # it is the document says.
    "debezium": PresetMap(
        "event",
        FieldMap(
            event_type=("payload.source.table", "source.table", "payload.source.collection", "source.collection"),
            time=("payload.source.ts_ms", "source.ts_ms", "payload.ts_ms", "ts_ms"),
            event_properties=("payload.after", "after"),
        ),
        (
            SourceCondition(property="payload.op", op="is", values=("c", "(none)")),
            SourceCondition(property="op", op="is", values=("c", "(none)")),
        ),
    ),
}


def filled(source: ForeignSource) -> ForeignSource:
    """The source with what its preset gives where it says nothing itself."""
    if source.preset is None:
        return source
    preset = PRESETS[source.preset]
    said = {name: own for name in FieldMap.__struct_fields__ if (own := getattr(source.map, name)) is not None}
    filled_map = msgspec.structs.replace(preset.map, **said)
    return msgspec.structs.replace(
        source, map=filled_map, where=source.where or preset.where, parse=source.parse or preset.parse
    )
