"""Tables: what analysts find in the snapshot, column by column, and what each column means.

Times are TIMESTAMP in UTC (not TIMESTAMPTZ, which Python can only fetch with a time zone package installed).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import inspect as types

from schemas.fields import Field, fields
from schemas.look import EARLIER, RUNNING, ArmHealth, ArmVerdict, Cell, Health, Look, Verdict

SCHEMA_VERSION = 2  # counts changes that break a query: a column or table renamed, removed or with another meaning

ARROW = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "HUGEINT": pa.decimal128(38),
    "DOUBLE": pa.float64(),
    "TIMESTAMP": pa.timestamp("ms"),  # from integers: ms UTC
    "VARCHAR[]": pa.list_(pa.string()),
    "JSON": pa.string(),
    "MAP(VARCHAR, BIGINT)": pa.map_(pa.string(), pa.int64()),
}

DUCKDB: dict[type[types.Type], str] = {
    types.StrType: "VARCHAR",
    types.LiteralType: "VARCHAR",
    types.BoolType: "BOOLEAN",
    types.IntType: "BIGINT",
    types.FloatType: "DOUBLE",
}


class TableColumn(NamedTuple):
    """One column: its name, its DuckDB type and what it means."""

    name: str
    type: str
    comment: str


class Table(NamedTuple):
    """One table or view."""

    name: str
    comment: str
    columns: tuple[TableColumn, ...]

    @property
    def stored(self) -> "Table":
        """The same as the store keeps it: by the names of a look's fields."""
        columns = tuple(column._replace(name=FIELDS.get(column.name, column.name)) for column in self.columns)
        return self._replace(columns=columns)

    @property
    def ddl(self) -> str:
        """The columns, as in CREATE TABLE."""
        return ", ".join(f'"{column.name}" {column.type}' for column in self.columns)

    def arrow(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """The rows (dictionaries by column; missing is null), as columns for an INSERT BY NAME."""
        schema = pa.schema([(column.name, ARROW[column.type]) for column in self.columns])
        return pa.Table.from_pylist(list(rows), schema)


def _table(name: str, comment: str, columns: Iterable[tuple[str, str, str]]) -> Table:
    return Table(name, comment, tuple(TableColumn(*column) for column in columns))


def _type(field: Field) -> str:
    match field.types:
        case (types.IntType(), types.StrType()):
            return "HUGEINT"
        case _ if field.unit == "ms UTC":
            return "TIMESTAMP"
        case (types.IntType(le=int(most)),) if most < 1 << 31:
            return "INTEGER"
        case (kind,):
            return DUCKDB[type(kind)]
    raise TypeError(f"no type of DuckDB holds {field.name}, which is {field.types}; add one to tables.py")


def _comment(field: Field) -> str:
    """What is absent in JSON, or of earlier looks, is null in a table, and times are no numbers."""
    text = field.description.replace("absent: ", "null: ").replace(EARLIER, "null unless status is ok")
    text = text.replace("; 0 until ", "; null until ")
    if field.unit == "metric^2 * 10^(2 * scale)":
        text = f"{text.removesuffix('.')}{TOO_LONG}."
    return f"UTC. {text}" if field.unit == "ms UTC" else text


def _columns(struct: type[msgspec.Struct], *names: str) -> tuple[tuple[str, str, str], ...]:
    """Some fields of a message, as columns of the same names."""
    known = fields(struct)
    return tuple((name, _type(known[name]), _comment(known[name])) for name in names)


def _renamed(
    struct: type[msgspec.Struct], name: str, column: str, *, before: str = "", after: str = ""
) -> tuple[str, str, str]:
    """A field of a message as a column of another name."""
    ((_, kind, comment),) = _columns(struct, name)
    return column, kind, f"{before}{comment.removesuffix('.')}{after}."


TOO_LONG = "; null where it has more than 38 digits: a record on `results` and a CSV file have it"

# What tables call otherwise than looks do: one comparison has one interval and one p-value, those that may be acted on.
FIELDS = {name: f"running_{name}" for name in RUNNING} | {f"look_{name}": name for name in RUNNING}
FIELDS |= {f"other_{name}": f"other_running_{name}" for name in RUNNING}
CELL_KEY = ("experiment", "run", "metric", "variant", "reading", "segment")


def _cell() -> dict[str, str]:
    """The columns of a cell, and its fields: what one look says by itself stands behind what all looks so far say."""
    alone = (*RUNNING, "log_e")
    order = [name for name in Cell.__struct_fields__ if name not in alone]
    order[order.index("alpha") : order.index("alpha")] = alone
    columns = {field: column for column, field in FIELDS.items()}
    return {columns.get(name, name): name for name in order}


CELL = _cell()
_VERDICT_REASON = _renamed(Verdict, "reason", "verdict_reason")
_RESULT = (
    *_columns(Look, "experiment", "run", "look", "revision", "time"),
    ("published", "TIMESTAMP", "UTC. When the look was appended to the results topic."),
    *_columns(Look, "final"),
    _renamed(Verdict, "decision", "verdict", before="Of the experiment: "),
    _VERDICT_REASON,
    *_columns(Look, "catalog_version"),
    *(_renamed(Cell, field, column) for column, field in CELL.items()),
)

RESULTS = _table(
    "results", "The newest result of each cell: experiment, run, metric, variant, reading and segment.", _RESULT
)
RESULTS_HISTORY = _table(
    "results_history", "Every published result: one row per cell and look. Older rows stand in Parquet files.", _RESULT
)
RESULTS_RECENT = _table("results_recent", "The newest rows of results_history; query that view instead.", _RESULT)

_LISTS = ("arms", "gaps", "losses", "data")  # of a health
EXPERIMENTS = _table(
    "experiments",
    "One row per experiment or feature flag, with its newest run and that run's newest look.",
    (
        ("key", "VARCHAR", "Key of the experiment."),
        ("name", "VARCHAR", "Its name for people."),
        ("description", "VARCHAR", "What it is about."),
        ("status", "VARCHAR", "draft, running, complete, rolled out, rolled back, archived or deleted."),
        ("owner", "VARCHAR", "Who answers for it."),
        ("tags", "VARCHAR[]", "Its tags."),
        ("unit", "VARCHAR", "What is randomised: user_id, device_id, groups.TYPE or user_properties.NAME."),
        ("problem", "VARCHAR", "Hypothesis: the problem."),
        ("solution", "VARCHAR", "Hypothesis: the change that should solve it."),
        ("prediction", "VARCHAR", "Hypothesis: the number that it should hit."),
        ("control", "VARCHAR", "The variant that the others are compared with."),
        ("rollout", "DOUBLE", "Percentage of units that get a variant, now or once it starts."),
        ("metrics", "VARCHAR[]", "Keys of its metrics, in the order of the definition."),
        ("method", "VARCHAR", "How it is judged: sequential, t-test or bayesian."),
        ("planned_units", "BIGINT", "Planned sample of a treatment and control together, where the document says it."),
        ("planned_start", "VARCHAR", "Planned start; a plan acts by its own, other dates are told once they passed."),
        ("planned_end", "VARCHAR", "Planned end."),
        ("version", "BIGINT", "Version of the document."),
        ("changed", "TIMESTAMP", "UTC. When that version was appended to the catalog."),
        ("run", "VARCHAR", "Newest run; null before the first start."),
        ("started", "TIMESTAMP", "UTC. When that run was started."),
        ("completed", "TIMESTAMP", "UTC. When that run was completed; null while it takes entries."),
        ("look", "BIGINT", "Number of the run's newest look."),
        ("time", "TIMESTAMP", "UTC. Everything appended before it is covered by that look; null as in results."),
        ("published", "TIMESTAMP", "UTC. When that look was appended to the results topic."),
        *_columns(Look, "final"),
        _renamed(Verdict, "decision", "verdict"),
        _VERDICT_REASON,
        _renamed(Verdict, "prediction", "verdict_prediction"),
        *_columns(Verdict, "days_left", "days_if_predicted", "excluded"),
        *_columns(ArmHealth, "units"),
        *_columns(Health, *(name for name in Health.__struct_fields__ if name not in _LISTS)),
        ("data_faults", "VARCHAR[]", "What does not come as it should, a sentence's part each; null: nothing."),
    ),
)

VARIANTS = _table(
    "variants",
    "One row per variant of an experiment's newest run.",
    (
        ("experiment", "VARCHAR", "Key of the experiment."),
        ("run", "VARCHAR", "Its newest run; null before the first start."),
        ("variant", "VARCHAR", "Key of the variant."),
        ("name", "VARCHAR", "Its name for people."),
        ("description", "VARCHAR", "How its units are treated."),
        ("is_control", "BOOLEAN", "The others are compared with this one."),
        ("weight", "BIGINT", "Its share relative to the other variants."),
        ("units", "BIGINT", "Units in the run by the newest look, jumpers withdrawn."),
        ("share", "DOUBLE", "Its share of the run's units."),
        *_columns(ArmHealth, "expected_share"),
        _renamed(ArmVerdict, "decision", "verdict", after="; null where nobody can say"),
        _renamed(ArmVerdict, "reason", "verdict_reason"),
    ),
)

METRICS = _table(
    "metrics",
    "One row per metric.",
    (
        ("key", "VARCHAR", "Key of the metric."),
        ("name", "VARCHAR", "Its name for people."),
        ("description", "VARCHAR", "What it says."),
        ("owner", "VARCHAR", "Who answers for it."),
        ("type", "VARCHAR", "conversion, count, sum, mean, ratio, funnel, retention, percentile or distinct."),
        ("event", "VARCHAR", "Event type that it counts."),
        ("property", "VARCHAR", "Property of the events that is summed."),
        ("window_ms", "BIGINT", "Milliseconds from a unit's entry within which its events count; null: without end."),
        ("scale", "INTEGER", "Decimal places that its sums keep; null: it counts."),
        ("version", "BIGINT", "Version of the document."),
        ("changed", "TIMESTAMP", "UTC. When that version was appended to the catalog."),
        ("experiments", "VARCHAR[]", "Experiments that read it."),
    ),
)

CATALOG = _table(
    "catalog",
    "The audit log: every record of the catalog topic, in order.",
    (
        ("offset", "BIGINT", "Offset of the record."),
        ("appended", "TIMESTAMP", "UTC. When it was appended; it applies to input appended a second later."),
        (
            "kind",
            "VARCHAR",
            "flag, metric, group, cohort, deployment, notification, template, brief, source, comment or logs.",
        ),
        ("key", "VARCHAR", "Key of the document."),
        ("version", "BIGINT", "Version of the document."),
        ("author", "VARCHAR", "Who changed it."),
        ("reason", "VARCHAR", "Why."),
        ("ignored", "VARCHAR", "Why the record is no version of any document; null for one that counts."),
    ),
)

DEAD_LETTERS = _table(
    "dead_letters",
    "The newest 10,000 inputs that could not be used, one row for each source and reason. "
    "`peekproof dead-letters` lists all of them.",
    (
        ("reason", "VARCHAR", "Why, in few words."),
        ("detail", "VARCHAR", "The value, the rule, the place and the way out."),
        ("topic", "VARCHAR", "Topic of the input."),
        ("partition", "INTEGER", "Its partition."),
        ("offset", "BIGINT", "Its offset."),
        ("index", "BIGINT", "Which event of a record that holds many; null for a whole record."),
        ("source", "VARCHAR", "Key of the source that read it; null for a topic of our own."),
        ("appended", "TIMESTAMP", "UTC. When the input was appended."),
        ("rejected", "TIMESTAMP", "UTC. When the dead letter was appended."),
        ("value", "VARCHAR", "The first 500 bytes; bytes that are no UTF-8 are written as \\xNN. Null for a null."),
        ("bytes", "BIGINT", "Size of the value; null for a null."),
    ),
)

DEAD_LETTER_TOTALS = _table(
    "dead_letter_totals",
    "How many inputs could not be used, by reason.",
    (
        ("reason", "VARCHAR", "Why, in few words."),
        ("letters", "BIGINT", "Inputs, once for each source and reason."),
        ("newest", "TIMESTAMP", "UTC. When the newest was appended."),
    ),
)

NOTIFICATIONS = _table(
    "notifications",
    "The newest 10,000 notifications, each once: what was told, by which rule. `deliveries` says who got them.",
    (
        ("id", "VARCHAR", "The same for whoever finds it, and as often: it is the webhooks' id."),
        ("rule", "VARCHAR", "Key of the rule, a document of configs/notifications."),
        ("event", "VARCHAR", "What came about: verdict changed, guardrail harmed, split broken, …"),
        ("subject", "VARCHAR", "What it is about: flag/KEY, stage/NAME or topic/NAME."),
        ("experiment", "VARCHAR", "Key of the experiment or flag; null where it is about none."),
        ("run", "VARCHAR", "Its run."),
        ("look", "BIGINT", "The look that shows it."),
        ("version", "BIGINT", "The version of the flag's document that it is about."),
        ("time", "TIMESTAMP", "UTC. When it was found, by the brokers' clock."),
        ("published", "TIMESTAMP", "UTC. When it was appended to its topic."),
        ("sentence", "VARCHAR", "What people read."),
        ("numbers", "JSON", "The numbers that matter."),
    ),
)

DELIVERIES = _table(
    "deliveries",
    "What became of each notification at each place of its rule, by the newest 10,000 attempts. None yet: it waits.",
    (
        ("id", "VARCHAR", "Of the notification."),
        ("rule", "VARCHAR", "Key of the rule."),
        ("place", "VARCHAR", "Name of the place in the rule."),
        ("outcome", "VARCHAR", "delivered; failed: it is tried again; given up."),
        ("attempts", "BIGINT", "How often it was tried."),
        ("time", "TIMESTAMP", "UTC. When it was tried last."),
        ("error", "VARCHAR", "Why it failed."),
    ),
)

PIPELINE_HEALTH = _table(
    "pipeline_health",
    "What each worker last said: one row per input partition that it holds. Workers silent for an hour are left out.",
    (
        ("stage", "VARCHAR", "assignment, aggregation, significance, storage, archive, plans or notifications."),
        ("worker", "VARCHAR", "Host and process id."),
        ("time", "TIMESTAMP", "UTC. When it said so; workers do once a second."),
        ("started", "TIMESTAMP", "UTC. When the worker started."),
        ("cpu_seconds", "DOUBLE", "CPU time of the process so far."),
        ("peak_memory", "BIGINT", "Bytes."),
        ("topic", "VARCHAR", "Input topic; null for a worker without partitions."),
        ("partition", "INTEGER", "Input partition."),
        ("position", "BIGINT", "The next offset that it reads."),
        ("lag", "BIGINT", "Records behind that position."),
        ("clock", "TIMESTAMP", "UTC. The watermark: the append time that the partition has reached; null if unknown."),
        ("freshness_seconds", "DOUBLE", "How far the watermark stood behind that moment."),
        ("counts", "MAP(VARCHAR, BIGINT)", "Totals since the worker started."),
    ),
)

ABOUT = _table(
    "about",
    "One row about this file.",
    (
        ("product", "VARCHAR", "What wrote it."),
        ("schema_version", "INTEGER", "Grows when a table or column is renamed or removed, or means something else."),
        (
            "published",
            "TIMESTAMP",
            "UTC. When this snapshot was published; a newer one comes every second, or every ten without news.",
        ),
        (
            "ignored_looks",
            "BIGINT",
            "Records of the results topic that were not newer than the last look of their run.",
        ),
        ("open_with", "VARCHAR", "How to open it."),
        ("refresh_with", "VARCHAR", "How a session sees a newer snapshot."),
        ("move_with", "VARCHAR", "What belongs to the file, and how it is read in another place."),
        ("restored", "VARCHAR", "What was damaged and made anew, and what of it is lost; null: nothing ever was."),
    ),
)

_PLACE = (
    (
        "outcome",
        "VARCHAR",
        "What was made of it. counted: usable and in time, it counts where a run and a metric want it, repeats once; "
        "late; dead letter: why. Null: older than the newest dead letters, which alone stand in dead_letters.",
    ),
    ("appended", "TIMESTAMP", "UTC. When Kafka appended the record."),
    ("kafka_partition", "INTEGER", "Partition of the record."),
    ("kafka_offset", "BIGINT", "Offset of the record."),
    (
        "record_index",
        "BIGINT",
        "Which of the filled lines of a record of many (application/x-ndjson); 0 for a record of one.",
    ),
)
_NOTE = (
    "Records that are no JSON or no UTF-8, and Arrow records, are left out; duplicates are not. "
    "The newest minute may be missing. What sources read of topics that are not ours is not among them: "
    "`peekproof sources` tells it."
)
_WHO = (
    ("user_id", "VARCHAR", "The user."),
    ("device_id", "VARCHAR", "The device."),
)

EVENTS = _table(
    "events",
    f"Every archived event of our own topic, as it was sent. {_NOTE}",
    (
        ("event_type", "VARCHAR", "What happened."),
        *_WHO,
        ("groups", "JSON", "The groups: type to name or names."),
        ("time", "TIMESTAMP", "UTC. When it happened; the append time if the event does not say."),
        ("insert_id", "VARCHAR", "The producer's id of the event, by which repeats are recognised."),
        ("event_properties", "JSON", "Properties of the event."),
        ("user_properties", "JSON", "Properties of the user."),
        *_PLACE,
    ),
)

EXPOSURES = _table(
    "exposures",
    f"Every archived exposure of our own topic, as it was sent. {_NOTE}",
    (
        ("flag_key", "VARCHAR", "Key of the flag or experiment."),
        ("variant", "VARCHAR", "The variant that the unit met; null asks for one."),
        ("experiment_key", "VARCHAR", "The run."),
        *_WHO,
        ("groups", "JSON", "The groups: type to name or names."),
        ("time", "TIMESTAMP", "UTC. When the unit met the variant; the append time if the exposure does not say."),
        ("insert_id", "VARCHAR", "The producer's id of the exposure."),
        ("user_properties", "JSON", "Properties of the user."),
        ("metadata", "JSON", "What the evaluation said; flagVersion is the flag's version."),
        *_PLACE,
    ),
)
