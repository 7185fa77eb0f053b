"""`pp.read`: published looks, from the snapshot and the archive beside it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import peekproof as pp
from peekproof import PeekproofError
from pipeline.storage.archive import Archive
from pipeline.storage.snapshot import publish
from pipeline.storage.store import Store
from schemas.catalog import Allocation, Flag, FlagState, Goal, Metric, Run, Variant
from schemas.look import Look
from schemas.topics import RESULTS
from tests.pipeline.conftest import look
from tests.pipeline.slices import records
from tests.pipeline.storage.test_snapshot import document

LAST, ARCHIVED = 30, 20
START = 1_700_000_005_000
METRIC = Metric(key="metric-1", owner="ann", type="conversion", event="buy", window="10s")
FLAG = Flag(
    key="checkout",
    owner="ann",
    variants=(Variant(key="control"), Variant(key="treatment"), Variant(key="other")),
    metrics=(Goal(metric="metric-1", role="primary"),),
)
RUN = Run(
    key="exp-1",
    salt="a",
    started=1,
    allocations=(Allocation(flag_version=1, rollout=100, weights=dict.fromkeys(("control", "treatment", "other"), 1)),),
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One of a run with looks, of which the archive has the first ones, and of a flag that nobody started."""
    directory = tmp_path_factory.mktemp("snapshots")
    values = [look(number) for number in range(1, LAST + 1)]
    archive = Archive(directory / "archive", 60_000)
    archive.append(records(RESULTS, 0, 0, values[:ARCHIVED], START))
    archive.advance(RESULTS, 0, START + 3_600_000)
    store = Store(directory / "store")
    states = [FlagState(definition=FLAG, status="running", runs=(RUN,))]
    states += [FlagState(definition=msgspec.structs.replace(FLAG, key="menu"), status="draft")]
    store.add_catalog([(0, 0, 1_000, document("metric", "metric-1", METRIC))])
    store.add_catalog(
        [(0, 1 + at, 2_000, document("flag", each.definition.key, each)) for at, each in enumerate(states)]
    )
    store.add_looks([(0, at, START + at, value) for at, value in enumerate(values)])
    store.flush()
    publish(store, directory / "peekproof.duckdb", directory / "archive")
    yield directory / "peekproof.duckdb"
    store.close()


def test_a_look_is_whole_where_the_archive_holds_it_and_else_all_but_its_health(snapshot: Path):
    run = pp.read(snapshot).experiment("checkout")

    archived, newest = run.look(17), run.look()

    assert msgspec.json.encode(archived.look) == look(17)
    assert archived.notes == ()
    published = msgspec.json.decode(look(LAST), type=Look)
    assert newest.look.cells == [cell.told() for cell in published.cells]
    assert newest.look.verdict == published.verdict
    assert newest.look.time == published.time
    assert newest.notes == ("its health is not told: the archive beside the snapshot does not hold this look (yet)",)
    assert newest.to_arrow().equals(pp.Result([published]).to_arrow())


def test_the_course_of_a_comparison_has_every_look(snapshot: Path):
    course = pp.read(str(snapshot)).experiment("checkout").course(variant="other")

    table = course.to_polars()
    assert table["look"].to_list() == [*range(1, LAST + 1)]
    assert table["upper"].to_list() == [1.5] * LAST
    assert course.plot().to_dict()["title"]["text"] == "checkout: metric-1"
    assert repr(course) == "checkout: metric-1, other over control, live: nothing is known yet, by 30 looks"


def test_a_course_is_of_the_treatment_that_its_document_names_first(snapshot: Path):
    course = pp.read(snapshot).experiment("checkout").course()

    assert repr(course).startswith("checkout: metric-1, treatment over control")


def test_where_every_experiment_stands(snapshot: Path):
    published = pp.read(snapshot)

    assert repr(published) == "checkout: keep running: it's early"
    assert published.to_pandas()["look"].tolist()[0] == LAST
    count = published.table("SELECT count(*) FROM results_history WHERE look > $look", look=28)
    assert count.to_pydict() == {"count_star()": [8]}


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda found: found.experiment("chekout"), "'chekout' is no experiment of '.*'; did you mean 'checkout'"),
        (lambda found: found.experiment("menu"), "'menu' has not been started, so nothing is known of it"),
        (lambda found: found.experiment("checkout", "exp-7"), "'exp-7' is no run of 'checkout'; it has exp-1"),
        (lambda found: found.experiment("checkout").look(31), "checkout/exp-1 has no look 31; there are 1 to 30"),
        (
            lambda found: found.experiment("checkout").look("3"),
            r"look\('3'\): a look is named by its number, such as 17; the newest by none",
        ),
        (
            lambda found: found.experiment("checkout").course("metric-1", "other", reading="settled"),
            "checkout/exp-1 has no 'metric-1 other settled all'; it has metric-0 other live all, metric-0 treatment",
        ),
        (lambda found: found.table("SELECT nothing"), "'.*peekproof.duckdb': Binder Error"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(snapshot: Path, ask, says: str):
    with pytest.raises(PeekproofError, match=says):
        ask(pp.read(snapshot))


def test_a_snapshot_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(PeekproofError, match="is not there; a deployment publishes it as "):
        pp.read(tmp_path / "peekproof.duckdb")
