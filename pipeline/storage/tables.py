"""Tables: what analysts find in the snapshot, column by column, and what each column means.

Times are TIMESTAMP in UTC (not TIMESTAMPTZ, which Python can only fetch with a time zone package installed).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

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
    "MAP(VARCHAR, BIGINT)": pa.map_(pa.string(), pa.int64()),
}


class Column(NamedTuple):
    """One column: its name, its DuckDB type and what it means."""

    name: str
    type: str
    comment: str


class Table(NamedTuple):
    """One table or view."""

    name: str
    comment: str
    columns: tuple[Column, ...]

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
    return Table(name, comment, tuple(Column(*column) for column in columns))


_SO_FAR = ", by all looks so far; of a fixed-horizon test at the look with the planned units; null unless status is ok"
TOO_LONG = "; null where it has more than 38 digits: a record on `results` and a CSV file have it"
_CELL = (
    ("metric", "VARCHAR", "Key of the metric."),
    ("metric_version", "BIGINT", "Counts what the metric measured: running values start again with another one."),
    ("variant", "VARCHAR", "The variant that is compared with control."),
    ("control", "VARCHAR", "The variant it is compared with."),
    (
        "reading",
        "VARCHAR",
        "settled: units whose window is closed, on which verdicts rest; live: every unit so far, for watching.",
    ),
    ("segment", "VARCHAR", "The part of the units that is covered; all for every unit."),
    (
        "method",
        "VARCHAR",
        "sequential, t-test or bayesian, as the experiment says; boschloo: of conversions, where t-tests are read; "
        "exact: of conversions alone, sequential, with a risk ratio.",
    ),
    ("alternative", "VARCHAR", "What the p-value is evidence for, of the variant: two-sided, greater or less."),
    (
        "status",
        "VARCHAR",
        "ok; gated: too few exposures or non-zero units; no data: an arm is empty; zero variance; withheld: a unit's "
        "total is too large; unusable: more than 1 % of an arm's events hold no number.",
    ),
    (
        "judgement",
        "VARCHAR",
        "better, worse or open; of a guardrail safe (surely within its margin), harmed or open. Null: not judged.",
    ),
    (
        "caveat",
        "VARCHAR",
        "Why no guarantee is claimed: open windows, heavy tail (an uncapped sum on an unequal split). Null: it is.",
    ),
    ("n", "BIGINT", "Units of the variant."),
    ("nonzero", "BIGINT", "Units of the variant whose total is not zero."),
    ("sum", "HUGEINT", "Exact sum of the variant's unit totals, quantised: divide by 10^scale."),
    ("sum_squares", "HUGEINT", f"Exact sum of their squares, quantised: divide by 10^(2*scale){TOO_LONG}."),
    ("control_n", "BIGINT", "Units of control."),
    ("control_nonzero", "BIGINT", "Units of control whose total is not zero."),
    ("control_sum", "HUGEINT", "Exact sum of control's unit totals, quantised: divide by 10^scale."),
    ("control_sum_squares", "HUGEINT", f"Exact sum of their squares, quantised: divide by 10^(2*scale){TOO_LONG}."),
    ("scale", "INTEGER", "Decimal places that the sums keep."),
    ("denominator_sum", "HUGEINT", "Of a ratio, whose sum is that of its numerator: divide by 10^denominator_scale."),
    ("control_denominator_sum", "HUGEINT", "Of a ratio: the same of control."),
    ("denominator_scale", "INTEGER", "Of a ratio: decimal places that the denominator's sum keeps."),
    ("mean", "DOUBLE", "Mean of the variant's unit totals, in the metric's unit."),
    ("control_mean", "DOUBLE", "Mean of control's unit totals, in the metric's unit."),
    ("estimate", "DOUBLE", "Difference of the means, variant minus control, in the metric's unit."),
    ("standard_error", "DOUBLE", "Standard error of the estimate."),
    ("lower", "DOUBLE", f"Lower end of the interval of the difference{_SO_FAR}; null where it is open."),
    ("upper", "DOUBLE", f"Upper end of the interval of the difference{_SO_FAR}; null where it is open."),
    ("p_value", "DOUBLE", f"p-value of no difference (of a guardrail: of no harm){_SO_FAR}. Valid whenever you stop."),
    ("running_empty", "BOOLEAN", "The looks' intervals exclude each other: the effect has moved."),
    (
        "adjusted_p_value",
        "DOUBLE",
        "The p-value corrected for the comparisons of its family; below the experiment's alpha it counts.",
    ),
    ("chance", "DOUBLE", "Bayesian: chance that the variant beats control, in the direction of its goal."),
    (
        "relative_estimate",
        "DOUBLE",
        "Relative lift of the variant over control; 0.02 is two per cent. Of method exact by conversions and weights.",
    ),
    ("relative_lower", "DOUBLE", f"Lower end of the relative lift's interval{_SO_FAR}."),
    ("relative_upper", "DOUBLE", f"Upper end of the relative lift's interval{_SO_FAR}."),
    ("look_lower", "DOUBLE", "Lower end of the interval of the difference, by this look alone."),
    ("look_upper", "DOUBLE", "Upper end of the interval of the difference, by this look alone."),
    ("look_p_value", "DOUBLE", "p-value by this look alone; of a fixed-horizon test no result before it is read."),
    ("look_relative_lower", "DOUBLE", "Lower end of the relative lift's interval, by this look alone."),
    ("look_relative_upper", "DOUBLE", "Upper end of the relative lift's interval, by this look alone."),
    ("log_e", "DOUBLE", "Natural logarithm of the e-value by this look alone; null for a fixed-horizon test."),
    ("alpha", "DOUBLE", "Error rate of the intervals, after division by the number of comparisons."),
    ("planned_units", "BIGINT", "Planned sample of variant and control together; null for a t-test without a plan."),
    ("since", "TIMESTAMP", "UTC. Only units that entered from then on: the metric came in mid-run. Null: all units."),
    (
        "unusable_share",
        "DOUBLE",
        "Where status is unusable: the share of events that hold no number, of the arm that loses most.",
    ),
    ("example", "VARCHAR", "Where status is unusable: one of those values, as JSON; empty: the property is missing."),
)

_RESULT = (
    ("experiment", "VARCHAR", "Key of the experiment."),
    ("run", "VARCHAR", "Key of the run; a restart makes a new one."),
    ("look", "BIGINT", "Number of the look within its run: 1, 2, 3, …"),
    ("revision", "BIGINT", "Counts restatements of the run."),
    ("time", "TIMESTAMP", "UTC. Everything appended before it is covered: the smallest clock of the partitions."),
    ("published", "TIMESTAMP", "UTC. When the look was appended to the results topic."),
    ("final", "BOOLEAN", "The run is over and settled: no look follows."),
    ("verdict", "VARCHAR", "Of the experiment: ship, roll back, keep running, needs attention or none."),
    ("verdict_reason", "VARCHAR", "Why, in a sentence that names the numbers."),
    ("catalog_version", "BIGINT", "Offset in the catalog topic whose documents were in force."),
    *_CELL,
)

# What tables call otherwise than looks do: one comparison has one interval and one p-value, those that may be acted on.
RUNNING = ("lower", "upper", "p_value", "relative_lower", "relative_upper")
FIELDS = {name: f"running_{name}" for name in RUNNING} | {f"look_{name}": name for name in RUNNING}
CELL = {name: FIELDS.get(name, name) for name, _, _ in _CELL}  # the columns of a cell, and its fields
CELL_KEY = ("experiment", "run", "metric", "variant", "reading", "segment")

RESULTS = _table(
    "results", "The newest result of each cell: experiment, run, metric, variant, reading and segment.", _RESULT
)
RESULTS_HISTORY = _table(
    "results_history", "Every published result: one row per cell and look. Older rows stand in Parquet files.", _RESULT
)
RESULTS_RECENT = _table("results_recent", "The newest rows of results_history; query that view instead.", _RESULT)

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
        ("rollout", "DOUBLE", "Percentage of units that get a variant."),
        ("metrics", "VARCHAR[]", "Keys of its metrics, in the order of the definition."),
        ("method", "VARCHAR", "How it is judged: sequential, t-test or bayesian."),
        ("planned_units", "BIGINT", "Planned sample of a treatment and control together, where the document says it."),
        ("planned_start", "VARCHAR", "Planned start; commands act, dates do not."),
        ("planned_end", "VARCHAR", "Planned end."),
        ("version", "BIGINT", "Version of the document."),
        ("changed", "TIMESTAMP", "UTC. When that version was appended to the catalog."),
        ("run", "VARCHAR", "Newest run; null before the first start."),
        ("started", "TIMESTAMP", "UTC. When that run was started."),
        ("completed", "TIMESTAMP", "UTC. When that run was completed; null while it takes entries."),
        ("look", "BIGINT", "Number of the run's newest look."),
        ("time", "TIMESTAMP", "UTC. Everything appended before it is covered by that look."),
        ("published", "TIMESTAMP", "UTC. When that look was appended to the results topic."),
        ("final", "BOOLEAN", "The run is over and settled: no look follows."),
        ("verdict", "VARCHAR", "ship, roll back, keep running, needs attention or none."),
        ("verdict_reason", "VARCHAR", "Why, in a sentence that names the numbers."),
        ("verdict_prediction", "VARCHAR", "hit, missed or open: the primary lift against the goal's minimum effect."),
        ("days_left", "DOUBLE", "How long a decision may still take at the present pace; 40: or longer."),
        ("units", "BIGINT", "Units in the run, jumpers withdrawn."),
        ("srm_p_value", "DOUBLE", "Sample-ratio mismatch: p-value of that look."),
        ("srm_running_p_value", "DOUBLE", "Smallest of all looks; below 0.01 the assignment is broken."),
        ("exposures", "BIGINT", "Exposure records counted, repeats included."),
        ("jumpers", "BIGINT", "Units that met two variants of one allocation and were withdrawn."),
        ("reassigned", "BIGINT", "Units that met another variant after the allocation had changed; they stay."),
        ("forced", "BIGINT", "Exposures of units that an inclusion forced; not counted."),
        ("inactive", "BIGINT", "Exposures of a time when the run took no entries: before its start, say; not counted."),
        ("late_exposures", "BIGINT", "Exposures beyond the lateness horizon; not counted."),
        ("counted_events", "BIGINT", "Events that count, told once for each metric; so are the next three."),
        ("duplicate_events", "BIGINT", "Events of its units that were there already; not counted again."),
        ("late_events", "BIGINT", "Events of its units beyond the lateness horizon; not counted."),
        ("unusable_events", "BIGINT", "Events of its units whose property is missing or no number; not counted."),
        ("withheld_units", "BIGINT", "Units whose total left the exact range."),
        (
            "duplicate_ids",
            "BIGINT",
            "Its units' insert ids with another time in the same minute, or with several values.",
        ),
        ("crowded_units", "BIGINT", "Units with more events in an hour than a funnel or retention reads; null: none."),
        ("full_lookback", "DOUBLE", "Share of units with events of a whole lookback; null: no metric has one."),
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
        ("expected_share", "DOUBLE", "The share that the weights promise."),
        ("verdict", "VARCHAR", "Of a treatment: ship, drop, keep running or none; null where nobody can say."),
        ("verdict_reason", "VARCHAR", "Why, in a sentence that names the numbers."),
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
        ("type", "VARCHAR", "conversion: did the unit send the event; count: how often; sum: total of a property."),
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
        ("kind", "VARCHAR", "flag or metric."),
        ("key", "VARCHAR", "Key of the document."),
        ("version", "BIGINT", "Version of the document."),
        ("author", "VARCHAR", "Who changed it."),
        ("reason", "VARCHAR", "Why."),
        ("ignored", "VARCHAR", "Why the record is no version of any document; null for one that counts."),
    ),
)

DEAD_LETTERS = _table(
    "dead_letters",
    "The newest 10,000 inputs that could not be used, one row per origin. `peekproof dead-letters` lists all of them.",
    (
        ("reason", "VARCHAR", "Why, in few words."),
        ("detail", "VARCHAR", "The value, the rule, the place and the way out."),
        ("topic", "VARCHAR", "Topic of the input."),
        ("partition", "INTEGER", "Its partition."),
        ("offset", "BIGINT", "Its offset."),
        ("index", "BIGINT", "Which event of a record that holds many; null for a record of one."),
        ("appended", "TIMESTAMP", "UTC. When the input was appended."),
        ("rejected", "TIMESTAMP", "UTC. When the letter was appended."),
        ("value", "VARCHAR", "The first 500 bytes; bytes that are no UTF-8 are written as \\xNN. Null for a null."),
        ("bytes", "BIGINT", "Size of the value; null for a null."),
    ),
)

DEAD_LETTER_TOTALS = _table(
    "dead_letter_totals",
    "How many inputs could not be used, by reason.",
    (
        ("reason", "VARCHAR", "Why, in few words."),
        ("letters", "BIGINT", "Inputs, one per origin."),
        ("newest", "TIMESTAMP", "UTC. When the newest letter was appended."),
    ),
)

PIPELINE_HEALTH = _table(
    "pipeline_health",
    "What each worker last said: one row per input partition that it holds. Workers silent for an hour are left out.",
    (
        ("stage", "VARCHAR", "assignment, aggregation, significance, storage or archive."),
        ("worker", "VARCHAR", "Host and process id."),
        ("time", "TIMESTAMP", "UTC. When it said so; workers do once a second."),
        ("started", "TIMESTAMP", "UTC. When the worker started."),
        ("cpu_seconds", "DOUBLE", "CPU time of the process so far."),
        ("peak_memory", "BIGINT", "Bytes."),
        ("topic", "VARCHAR", "Input topic; null for a worker without partitions."),
        ("partition", "INTEGER", "Input partition."),
        ("position", "BIGINT", "The next offset that it reads."),
        ("lag", "BIGINT", "Records behind that position."),
        ("clock", "TIMESTAMP", "UTC. The append time that the partition has reached; null if unknown."),
        ("freshness_seconds", "DOUBLE", "How far the clock stood behind that moment."),
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
            "UTC. When this snapshot was published; a newer one replaces the file every second.",
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
    "The newest minute may be missing."
)
_WHO = (
    ("user_id", "VARCHAR", "The user."),
    ("device_id", "VARCHAR", "The device."),
)

EVENTS = _table(
    "events",
    f"Every archived event as it was sent. {_NOTE}",
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
    f"Every archived exposure as it was sent. {_NOTE}",
    (
        ("flag_key", "VARCHAR", "Key of the experiment."),
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
