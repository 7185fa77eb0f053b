"""`peekproof validate`, `apply` and `schema` as a person uses them."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.catalog.topic import CatalogWriter, read_catalog
from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from tests.pipeline.shop import METRIC, Shop

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def shop(tmp_path: Path, deployment: Settings) -> Shop:
    return Shop(tmp_path / "configs", deployment)


def test_validate_counts_what_is_sound_without_a_broker(tmp_path: Path):
    shop = Shop(tmp_path / "configs")

    assert "1 metric, 1 experiment in " in shop.call("validate", str(shop.directory)).stdout
    told = shop.told("validate", str(CONFIGS))
    assert (told["flags"], told["groups"], told["cohorts"], told["deployments"], told["faults"]) == (5, 2, 1, 2, [])


def test_validate_tells_file_and_line_of_every_fault(tmp_path: Path):
    shop = Shop(tmp_path / "configs")
    shop.rewrite("rollout: 50", "rolout: 50")
    shop.rewrite("key: treatment", "key: off")

    result = shop.call("validate", str(shop.directory), code=2)

    assert f"{shop.flag}:3: rolout: is no field of this document; did you mean 'rollout'?\n" in result.stderr
    shop.rewrite("rolout", "rollout")
    told = json.loads(shop.call("validate", str(shop.directory), "--json", code=2).stdout)
    (fault,) = told["faults"]
    assert (fault["file"], fault["line"]) == (str(shop.flag), 6)
    assert fault["message"].startswith("variants[1].key: 'off' is reserved")


def test_a_fault_withholds_no_note_of_the_other_files(tmp_path: Path):
    shop = Shop(tmp_path / "configs")
    shop.rewrite("rollout: 50", "rolout: 50")
    (shop.directory / "flags").mkdir()
    noted = shop.directory / "flags" / "noted.yaml"
    noted.write_text("key: noted\nowner: ann\nvariants: [{ key: on }]\nsegments: [{ name: x }, { name: y }]\n")
    (shop.directory / "flags" / "notes.txt").write_text("remember the milk\n")

    for line in ("validate", "apply"):
        lines = shop.call(line, str(shop.directory), code=2).stderr.splitlines()
        assert [part in each for part, each in zip(("rolout", "note: ", "note: ", "1 fault;"), lines, strict=True)] == [
            True
        ] * 4
    told = json.loads(shop.call("validate", str(shop.directory), "--json", code=2).stdout)
    assert len(told["faults"]) == 1
    assert [each["file"].rsplit("/", 1)[1] for each in told["notes"]] == ["noted.yaml", "notes.txt"]
    assert "'y' is never reached" in told["notes"][0]["message"]


def test_schema_writes_what_is_committed(tmp_path: Path):
    CliRunner().invoke(command, ["schema", str(tmp_path / "schemas")], catch_exceptions=False)

    for file in ("experiment.json", "flag.json", "metric.json", "group.json", "cohort.json", "deployment.json"):
        assert (tmp_path / "schemas" / file).read_text() == (CONFIGS / "schemas" / file).read_text()


def test_apply_publishes_metrics_first_and_then_only_what_changed(shop: Shop, deployment: Settings):
    first = shop.told("apply", str(shop.directory), "--reason", "opening", "--author", "ann")
    assert [(each["kind"], each["key"], each["version"]) for each in first] == [
        ("metric", "purchase", 1),
        ("flag", "button", 1),
    ]

    assert "the catalog holds them as they are" in shop.apply().stdout
    shop.rewrite("rollout: 50", "rollout: 60")
    assert "flag button: version 2, changed rollout\n" in shop.apply("--author", "bob").stdout

    history = read_catalog(deployment)
    assert [(each.document.key, each.document.version, each.document.author) for each in history.versions] == [
        ("purchase", 1, "ann"),
        ("button", 1, "ann"),
        ("button", 2, "bob"),
    ]
    assert history.versions[0].document.reason == "opening"


def test_documents_with_a_fault_are_not_published_at_all(shop: Shop, deployment: Settings):
    shop.rewrite("metric: purchase", "metric: purchse")

    result = shop.apply(code=2)

    assert f"{shop.flag}:8: metrics[0].metric: 'purchse' is no metric; did you mean 'purchase'?" in result.stderr
    assert "1 fault; nothing was published" in result.stderr
    assert read_catalog(deployment).newest.offset == 0


def test_apply_says_what_an_edit_does_to_a_run_and_refuses_what_would_spoil_it(shop: Shop, deployment: Settings):
    shop.apply()
    shop.call("experiment", "start", "button")

    shop.rewrite("rollout: 50", "rollout: 80")
    assert "exp-1 goes on with rollout 80 % instead of 50 %: nobody moves between variants" in shop.apply().stdout
    metric = shop.directory / "metrics" / "a.yaml"
    metric.write_text(METRIC.replace("10s", "20s"))
    foreseen = shop.apply("--dry-run")
    assert "exp-1 of 'button' measures 'purchase' anew, on units" in foreseen.stdout
    assert foreseen.stderr.endswith("it wants --yes\n")
    assert [each["version"] for each in shop.told("apply", str(shop.directory), "--dry-run")] == [2]
    with pytest.raises(PeekproofError, match="purchase: exp-1 of 'button' measures 'purchase' anew, on units"):
        shop.apply()
    assert read_catalog(deployment).newest.version_of("metric", "purchase") == 1
    assert "exp-1 of 'button' measures 'purchase' anew" in shop.apply("--yes").stdout

    metric.write_text(METRIC)
    shop.rewrite("owner: shop", "owner: shop\nunit: device_id")
    result = shop.apply(code=2)
    assert f"{shop.flag}:3: unit of 'button' would change from user_id to device_id while exp-1 runs" in result.stderr
    history = read_catalog(deployment)
    assert history.newest.metrics["purchase"].definition.window == "20s", "one refusal publishes nothing"
    assert [each.rollout for each in history.newest.flags["button"].runs[0].allocations] == [50, 80]


def test_a_payload_of_any_shape_survives_the_way_to_the_catalog(shop: Shop, deployment: Settings):
    shop.rewrite("- key: treatment", "- key: treatment\n    payload: {on: [1, 1.5, true, null, ü]}")
    shop.apply()

    async def read() -> object:
        async with CatalogWriter(deployment) as writer:
            return writer.history.newest.flags["button"].definition.variants[1].payload

    assert asyncio.run(read()) == {"on": [1, 1.5, True, None, "ü"]}
    assert "ü" in shop.call("experiment", "show", "button").stdout


def test_f10_what_stands_in_the_catalog_and_has_no_file_is_named(shop: Shop):
    shop.call("flag", "create", "banner", "--owner", "ann")
    assert shop.apply().stderr.splitlines() == [
        "in the catalog, without a file here, as before: flag banner",
        "  `peekproof flag show KEY` prints a flag's file, `peekproof flag archive KEY` puts a flag away",
    ]

    shop.flag.unlink()
    (shop.directory / "b.yaml").write_text("key: b\n")
    told = shop.apply()

    assert "in the catalog, without a file here, as before: flag banner, flag button\n" in told.stderr
    assert f"{shop.directory}/b.yaml:1: note: is not read: documents lie in experiments" in told.stderr
    (note,) = shop.told("validate", str(shop.directory))["notes"]
    assert note["message"].startswith("is not read")
    shop.call("flag", "archive", "banner")
    assert "without a file here, as before: flag button\n" in shop.apply().stderr


def test_f19_a_new_flag_is_said_to_be_a_draft_with_the_command_that_starts_it(shop: Shop):
    assert shop.apply().stdout.splitlines()[-2:] == [
        "flag button: version 1, new",
        "  it is a draft: everybody gets 'off' until it is started, on its page or by "
        "`peekproof experiment start button`",
    ]


def test_f07_f18_what_may_be_another_than_is_thought_is_noted_and_what_costs_units_wants_a_yes(shop: Shop):
    (shop.directory / "groups").mkdir()
    (shop.directory / "groups" / "a.yaml").write_text(
        "key: held\nowner: shop\ntype: holdout\nunit: groups.company\nslots: [{percentage: 5}]\n"
    )
    shop.rewrite("rollout: 50", "groups: [{group: held}]\nsegments: [{name: all}, {name: none}]\nrollout: 50")

    for told in (shop.call("validate", str(shop.directory)).stderr, shop.apply().stderr):
        assert f"{shop.flag}:3: note: groups[0]: 'held' decides by groups.company, and 'button' is bucketed by" in told
        assert f"{shop.flag}:4: note: segments[1]: 'none' is never reached: 'all' comes before it and has no" in told

    with pytest.raises(PeekproofError, match=r"button: 'held' decides by groups.company.*\n.*say --yes"):
        shop.call("experiment", "start", "button")
    assert "whoever has no groups.company gets 'off'" in shop.call("experiment", "start", "button", "--yes").stdout


def test_f13_a_key_that_differs_from_one_of_the_catalog_by_case_alone_is_refused(shop: Shop):
    shop.apply()
    shop.rewrite("key: button", "key: Button")
    told = shop.apply(code=2)
    assert f"{shop.flag}:1: key: 'Button' and 'button' differ by case alone" in told.stderr
    with pytest.raises(PeekproofError, match="'BUTTON' and 'button' differ by case alone"):
        shop.call("flag", "create", "BUTTON", "--owner", "ann")

    shop.call("experiment", "delete", "button", "--yes")
    assert "flag Button: version 1, new" in shop.apply().stdout
    assert "running" in shop.call("experiment", "start", "Button").stdout
    assert [each["key"] for each in shop.told("flag", "list")] == ["Button"]
    with pytest.raises(PeekproofError, match="'button'"):
        shop.call("flag", "start", "button")


def test_what_a_run_is_short_of_is_counted_from_its_start_where_that_is_asked(shop: Shop, deployment: Settings):
    shop.apply()
    shop.call("experiment", "start", "button")
    assert "`peekproof recount start KEY` begins one" in shop.call("recount", "list").stdout
    shop.rewrite("metrics:\n", "breakdowns:\n  - { property: platform, values: [iOS] }\nmetrics:\n")

    assert "exp-1 is recounted" in shop.apply("--from", "start", "--dry-run").stdout
    assert read_catalog(deployment).newest.recounts == {}
    said = shop.apply("--from", "start").stdout
    assert "'platform' was chosen after the start: it is exploratory, and decides nothing" in said
    (told,) = shop.told("recount", "list")  # type: ignore[misc, attr-defined]
    assert (told["flag"], told["run"], told["state"]) == ("button", "exp-1", "begun")
    assert "begun; it waits for a worker of the archive" in shop.call("recount", "list").stdout
    assert "exp-1 goes on as it was" in shop.call("recount", "stop", "button").stdout
    assert "exp-1 of 'button': stopped" in shop.call("recount", "follow", "button", code=1).stdout
    assert "exp-1 is recounted" in shop.call("recount", "start", "button").stdout
