"""Snapshots: published results, read from the DuckDB file that a deployment publishes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import numpy as np

from evaluation.catalog.rules import did_you_mean
from evaluation.significance.look import decode_look
from peekproof.plots import chart
from peekproof.results import Result
from peekproof.tabled import Tabled
from pipeline.errors import PeekproofError
from pipeline.files.titles import listed
from pipeline.pictures.course import course
from pipeline.pictures.drawing import percent
from pipeline.questions.past_look import archived_look
from pipeline.storage.history import literal
from pipeline.storage.tables import CELL
from schemas.look import EVERYONE, Cell, Health, Look, Reading, Verdict
from schemas.numbers import exact

if TYPE_CHECKING:
    import pyarrow
    from altair import TopLevelMixin

ARCHIVE_SECONDS = 60.0  # that a look of the archive may take
MOST_DRAWN = 500  # looks of a course
HEALTH_UNKNOWN = "its health is not told: the archive beside the snapshot does not hold this look (yet)"
_LEFT_OUT = {each.name for each in msgspec.structs.fields(Cell) if each.default is msgspec.UNSET}  # for null
_EXACT = ("sum", "sum_squares", "denominator_sum")
_ROWS = "FROM results_history WHERE experiment = $experiment AND run = $run"


def read(path: str | PathLike[str]) -> "Snapshot":
    """The snapshot of a deployment, `data/peekproof.duckdb`, at any time, also while everything works.

    Every question is answered by the newest file. Raises PeekproofError where it is not there.

        pp.read("data/peekproof.duckdb").experiment("checkout-button").look(17)
    """
    if not Path(path).is_file():
        raise PeekproofError(f"'{path}' is not there; a deployment publishes it as peekproof.duckdb in its data")
    return Snapshot(Path(path))


class Snapshot(Tabled):
    """Where every experiment stands; `experiment(KEY)` is one of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def experiment(self, key: str, run: str | None = None) -> "PublishedRun":
        """A run of an experiment, the newest unless it is said which. Raises PeekproofError where there is none."""
        found = {row["key"]: row for row in self.to_arrow().to_pylist()}
        if key not in found:
            raise PeekproofError(f"'{key}' is no experiment of '{self._path}'; {did_you_mean(str(key), found)}")
        runs = self._column("SELECT DISTINCT run FROM results_history WHERE experiment = $key ORDER BY run", key=key)
        if run is None:
            run = found[key]["run"]
            if run is None:
                raise PeekproofError(f"'{key}' has not been started, so nothing is known of it")
        if run not in (*runs, found[key]["run"]):
            raise PeekproofError(f"'{run}' is no run of '{key}'; it has {listed(runs)}")
        return PublishedRun(self, key, run, found[key]["metrics"])

    def to_arrow(self) -> "pyarrow.Table":
        """A row for each flag and experiment, as of its newest look."""
        return self.table(
            "SELECT key, status, run, look, time, units, verdict, verdict_reason, metrics FROM experiments ORDER BY key"
        )

    def table(self, query: str, **parameters: Any) -> "pyarrow.Table":
        """What a query in SQL answers; the page Tables tells what there is. `$name` in it stands for a parameter."""
        try:
            with duckdb.connect(str(self._path), read_only=True) as database:
                database.execute(f"SET VARIABLE peekproof_data = {literal(self._path.resolve().parent)}")
                return database.sql(query, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            raise PeekproofError(f"'{self._path}': {str(error).partition(chr(10))[0]}") from error

    @property
    def archive(self) -> Path:
        """The archive that lies beside it."""
        return self._path.resolve().parent / "archive"

    def _column(self, query: str, **parameters: Any) -> list[Any]:
        return self.table(query, **parameters).column(0).to_pylist()

    def __repr__(self) -> str:
        rows = self.to_arrow().to_pylist()
        told = (f"{row['key']}: {row['verdict']}: {row['verdict_reason']}" for row in rows if row["verdict"])
        return "\n".join(told) or f"no experiment of '{self._path}' has results yet"


class PublishedRun:
    """One run of an experiment: its looks, and the course of each comparison."""

    def __init__(self, snapshot: Snapshot, experiment: str, run: str, metrics: Sequence[str]) -> None:
        self.experiment = experiment
        self.run = run
        self._snapshot = snapshot
        self._metrics = tuple(metrics)

    def look(self, number: int | None = None) -> Result:
        """A look, the newest unless it is said which. Raises PeekproofError where it is not known (any more).

        Whole, as it was published, where the archive beside the snapshot holds it; else all but its health.
        """
        if not (number is None or isinstance(number, Integral)):
            raise PeekproofError(f"look({number!r}): a look is named by its number, such as 17; the newest by none")
        if number is None:
            number = self._table("SELECT max(look) AS last").column(0).to_pylist()[0]
        if number is None:
            raise PeekproofError(f"{self.experiment}/{self.run} has no look yet")
        of = self.experiment, self.run
        if self._snapshot.archive.is_dir():
            value = archived_look(self._snapshot.archive, of, int(number), ARCHIVE_SECONDS)
            if value is not None:
                return _result(decode_look(value))
        rows = self._table("SELECT *", "AND look = $look", look=int(number)).to_pylist()
        if not rows:
            (first, last) = self._table("SELECT min(look), max(look)").to_pylist()[0].values()
            there = "none yet" if first is None else f"{first:,} to {last:,}"
            raise PeekproofError(f"{self.experiment}/{self.run} has no look {number}; there are {there}")
        return _result(_look(rows), HEALTH_UNKNOWN)

    def course(
        self,
        metric: str | None = None,
        variant: str | None = None,
        *,
        reading: Reading | None = None,
        segment: str = EVERYONE,
    ) -> "Course":
        """One comparison over the looks. Unsaid, it is of the document's first metric and treatment, settled where
        something is.
        """
        keys = self._table("SELECT DISTINCT metric, variant, reading, segment").to_pylist()
        wanted = {"metric": metric, "variant": variant, "reading": reading, "segment": segment}
        found = [each for each in keys if all(value in (None, each[name]) for name, value in wanted.items())]
        if not found:
            there = sorted({" ".join(map(str, each.values())) for each in keys})
            told = " ".join(value for value in wanted.values() if value)
            raise PeekproofError(f"{self.experiment}/{self.run} has no '{told}'; it has {listed(there)}")
        variants = self._snapshot.table(
            "SELECT variant FROM variants WHERE experiment = $experiment ORDER BY rowid", experiment=self.experiment
        )
        order = {name: number for number, name in enumerate(self._metrics)}
        place = {name: number for number, name in enumerate(variants.column(0).to_pylist())}

        def rank(each: dict[str, str]) -> tuple[int, int, bool]:
            """As in the document; what is no longer in it comes last."""
            one, other = each["metric"], each["variant"]
            return order.get(one, len(order)), place.get(other, len(place)), each["reading"] == "live"

        key = min(sorted(found, key=lambda each: [*each.values()]), key=rank)
        columns = (
            "SELECT look, time, n + control_n AS units, relative_estimate AS lift, relative_lower AS lower, "
            "relative_upper AS upper, p_value, estimate, status"
        )
        where = "".join(f" AND {name} = ${name}" for name in key)
        return Course(self.experiment, key, self._table(columns, f"{where} ORDER BY look", **key))

    def _table(self, columns: str, more: str = "", **parameters: Any) -> "pyarrow.Table":
        query = f"{columns} {_ROWS} {more}"
        return self._snapshot.table(query, experiment=self.experiment, run=self.run, **parameters)

    def __repr__(self) -> str:
        return repr(self.look())


class Course(Tabled):
    """A comparison over the looks: its lift by each, and between which ends all looks up to it leave it."""

    def __init__(self, experiment: str, key: dict[str, str], table: "pyarrow.Table") -> None:
        self._title = f"{experiment}: {key['metric']}"
        segment = "" if key["segment"] == EVERYONE else f", {key['segment']}"
        self._of = f"{key['variant']} over control, {key['reading']}{segment}"
        self._table = table

    def to_arrow(self) -> "pyarrow.Table":
        """A row for each look."""
        return self._table

    def plot(self) -> "TopLevelMixin":
        """The effect over time with its confidence sequence, as a chart of Altair. Wants `peekproof[plot]`."""
        found = [row for row in self._table.to_pylist() if row["time"] is not None]
        kept = np.unique(np.linspace(0, len(found) - 1, MOST_DRAWN).astype(np.int64)).tolist() if found else []
        names = ("units", "lift", "lower", "upper")
        drawn = [{"time": _milliseconds(found[at]["time"]), **{name: found[at][name] for name in names}} for at in kept]
        return chart(course(drawn, self._title, self._of))

    def __repr__(self) -> str:
        rows = self._table.to_pylist()
        last = rows[-1] if rows else None
        if last is None or last["lift"] is None or (last["lower"], last["upper"]) == (None, None):
            return f"{self._title}, {self._of}: nothing is known yet, by {len(rows):,} looks"
        ends = ["open" if last[name] is None else percent(last[name]) for name in ("lower", "upper")]
        return f"{self._title}, {self._of}: {percent(last['lift'])} [{', '.join(ends)}] by {len(rows):,} looks"


def _result(look: Look, *notes: str) -> Result:
    return Result([look], notes, msgspec.json.encode({"experiments": [look]}))


def _look(rows: Sequence[dict[str, Any]]) -> Look:
    """The look of which these are the rows: all but its health."""
    first = rows[0]
    return Look(
        **{name: first[name] for name in ("experiment", "run", "look", "revision", "final", "catalog_version")},
        time=_milliseconds(first["time"]) if first["time"] else 0,
        offsets={},
        health=Health(arms=[]),
        verdict=Verdict(first["verdict"], first["verdict_reason"]),
        cells=[_cell(row) for row in rows],
    )


def _cell(row: dict[str, Any]) -> Cell:
    said = {field: row[column] for column, field in CELL.items()}
    for field, value in said.items():
        if value is None and field in _LEFT_OUT:
            said[field] = msgspec.UNSET
        elif value is not None and field.removeprefix("control_") in _EXACT:
            said[field] = exact(int(value))
        elif isinstance(value, datetime):
            said[field] = _milliseconds(value)
    return Cell(**said)


def _milliseconds(time: datetime) -> int:
    """Tables have UTC without saying so."""
    return round(time.replace(tzinfo=UTC).timestamp() * 1_000)
