"""`peekproof flag` and `experiment` as a person uses them: the life of a flag from its draft to its end."""

import asyncio
import logging
from pathlib import Path

import pytest

from evaluation.catalog.lifecycle import apply_definition, start
from pipeline.catalog.topic import CatalogWriter, read_catalog
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.catalog import Condition, Flag, Segment, Variant
from tests.pipeline.shop import Shop

PATTERN = r"(?!test).*@shop\.example"
UNANSWERABLE = Flag(
    key="mail",
    owner="shop",
    variants=(Variant(key="on", users=("ann",)),),
    segments=(
        Segment(
            name="Shop", conditions=(Condition(property="user_properties.mail", op="regex match", values=(PATTERN,)),)
        ),
    ),
)


@pytest.fixture
def shop(tmp_path: Path, deployment: Settings) -> Shop:
    return Shop(tmp_path / "configs", deployment)


def test_an_experiment_is_started_completed_and_started_again(shop: Shop):
    shop.apply()

    first = shop.told("experiment", "start", "button", "--author", "ann", "--reason", "it is time")
    assert (first["run"], first["status"], first["version"], len(first["salt"])) == ("exp-1", "running", 2, 8)
    assert "button: version 3, exp-1 is complete" in shop.call("experiment", "complete", "button").stdout
    second = shop.told("experiment", "start", "button")
    assert second["run"] == "exp-2"
    assert second["salt"] != first["salt"]

    told = shop.told("experiment", "history", "button")
    assert [each["version"] for each in told] == [1, 2, 3, 4]
    assert [each["changed"] for each in told] == [
        ["created"],
        ["exp-1 is running"],
        ["exp-1 is complete"],
        ["exp-2 is running"],
    ]
    assert (told[1]["author"], told[1]["reason"]) == ("ann", "it is time")
    assert "exp-1 is complete" in shop.call("experiment", "history", "button").stdout


def test_a_plain_flag_is_split_anew_where_one_asks_for_it(shop: Shop):
    shop.call("flag", "create", "banner", "--owner", "ann", "--rollout", "0.5")
    first, _ = shop.told("flag", "start", "banner"), shop.call("flag", "complete", "banner")
    again = shop.told("flag", "start", "banner")
    anew = shop.told("flag", "restart", "banner", "--new-salt")

    assert (again["run"], again["salt"]) == ("exp-2", first["salt"])
    assert (anew["run"], anew["salt"] != first["salt"]) == ("exp-3", True)
    assert "rollout: 0.5" in shop.call("flag", "show", "banner").stdout


def test_history_shows_a_reason_as_it_was_given(shop: Shop):
    shop.apply("--reason", "see [/ticket/12], it is [bold]urgent[/bold] :fire:")

    assert "see [/ticket/12], it is [bold]urgent[/bold] :fire:" in shop.call("flag", "history", "button").stdout


def test_comments_are_said_beside_what_there_is_and_listed_in_order(shop: Shop):
    shop.apply()
    shop.call("experiment", "start", "button")
    assert "nobody said anything about 'button'" in shop.call("comments", "button").stdout

    (first,) = shop.told("comment", "button", "**so** [what]", "--run", "exp-1", "--look", "7", "--author", "tom")
    shop.call("comment", "button", "a second\x1b line\nand more", "--author", "ann")

    assert (first["version"], first["text"], first["run"], first["look"]) == (1, "**so** [what]", "exp-1", 7)
    assert [each["author"] for each in shop.told("comments", "button")] == ["tom", "ann"]
    lines = shop.call("comments", "button").stdout.splitlines()
    assert lines[0].endswith("UTC, tom about exp-1, look 7")
    assert lines[1:2] + lines[3:] == ["  **so** [what]", "  a second\\x1b line", "  and more"]
    with pytest.raises(PeekproofError, match=r"'button' has no run 'exp-9'.*\n*metric: 'sales' is no metric"):
        shop.call("comment", "button", "x", "--run", "exp-9", "--metric", "sales")
    with pytest.raises(PeekproofError, match=r"text: .* characters"):
        shop.call("comment", "button", "")
    with pytest.raises(PeekproofError, match="'buton' is no flag"):
        shop.call("comments", "buton")


def test_list_and_show_tell_the_state_and_the_dates_that_have_passed(shop: Shop):
    assert "the catalog holds none; `peekproof apply` publishes" in shop.call("experiment", "list").stdout
    shop.rewrite("rollout: 50", "rollout: 50\nstart: 2020-01-01\nend: 2020-02-01")
    shop.apply()

    (summary,) = shop.told("experiment", "list")
    assert (summary["key"], summary["status"], summary["run"]) == ("button", "draft", None)
    assert summary["overdue"] == "start date 2020-01-01 has passed"
    shop.call("experiment", "start", "button")
    (summary,) = shop.told("experiment", "list")
    assert (summary["run"], summary["overdue"]) == ("exp-1", "end date 2020-02-01 has passed")
    assert "running, end date 2020-02-01 has passed" in shop.call("experiment", "list").stdout

    shown = shop.call("experiment", "show", "button").stdout
    assert "# version 2, running, end date 2020-02-01 has passed\n# exp-1: 20" in shown
    assert "rollout: 50\n" in shown
    state = shop.told("experiment", "show", "button")["state"]
    assert state["runs"][0]["allocations"][0]["weights"] == {"control": 1, "treatment": 1}


def test_a_step_that_is_refused_says_why_and_publishes_nothing(shop: Shop, deployment: Settings):
    shop.apply()

    with pytest.raises(PeekproofError, match=r"'button' is not running \(draft\); start it first"):
        shop.call("experiment", "complete", "button")
    shop.call("experiment", "start", "button")
    with pytest.raises(PeekproofError, match=r"'button' is running already \(exp-1\)"):
        shop.call("experiment", "start", "button")
    with pytest.raises(PeekproofError, match="'buton' is no flag of the catalog; did you mean 'button'"):
        shop.call("experiment", "start", "buton")

    assert read_catalog(deployment).newest.offset == 3


def test_a_flag_is_created_rolled_out_rolled_back_archived_and_deleted(shop: Shop, deployment: Settings):
    created = shop.call("flag", "create", "banner", "--owner", "ann", "--variant", "red", "--variant", "blue").stdout
    assert created.startswith("flag banner: version 1, new\n  it is a draft")
    shop.call("flag", "start", "banner")
    out = shop.call("flag", "rollout", "banner", "red", "--reason", "people like it", "--author", "ann").stdout
    assert out == (
        "flag banner: version 3, exp-1 is complete, red is rolled out\n"
        "  everybody gets 'red', but those listed or held out\n"
    )
    assert "rolled out (red)" in shop.call("flag", "list").stdout

    assert shop.told("flag", "rollback", "banner")["status"] == "rolled back"
    shop.call("flag", "archive", "banner")
    assert "restored" in shop.call("flag", "restore", "banner").stdout
    shop.call("flag", "archive", "banner")
    with pytest.raises(PeekproofError, match="banner: this is for ever, and the key stays taken"):
        shop.call("flag", "delete", "banner")
    shop.call("flag", "delete", "banner", "--yes")

    assert shop.told("flag", "list") == []
    told = shop.told("flag", "history", "banner")
    assert [each["changed"][-1] for each in told] == [
        "created",
        "exp-1 is running",
        "red is rolled out",
        "rolled back",
        "archived",
        "restored",
        "archived",
        "deleted",
    ]
    assert (told[2]["author"], told[2]["reason"]) == ("ann", "people like it")
    with pytest.raises(PeekproofError, match="flag 'banner' exists already"):
        shop.call("flag", "create", "banner", "--owner", "ann")
    assert not read_catalog(deployment).rejected


def test_a_file_that_is_applied_again_does_not_undo_a_roll_out(shop: Shop, deployment: Settings):
    shop.apply()
    shop.call("experiment", "start", "button")
    shop.call("experiment", "rollout", "button", "treatment")

    assert "the catalog holds them as they are" in shop.apply().stdout
    shop.rewrite("rollout: 50", "rollout: 60")
    shop.apply()

    flag = read_catalog(deployment).newest.flags["button"]
    assert (flag.status, flag.definition.rollout) == ("rolled out", 60)
    assert flag.allocation.weights == {"control": 0, "treatment": 100}
    with pytest.raises(
        PeekproofError, match="'button' gives 'treatment' to everybody; restart it to split units again"
    ):
        shop.call("experiment", "start", "button")
    assert shop.told("experiment", "restart", "button")["run"] == "exp-2"


def test_an_experiment_wants_metrics_and_a_plain_flag_does_not(shop: Shop):
    shop.apply()
    shop.call("flag", "create", "banner", "--owner", "ann")

    with pytest.raises(
        PeekproofError, match=r"'banner' has no metrics, so nothing could be concluded; .*peekproof flag"
    ):
        shop.call("experiment", "start", "banner")
    assert shop.told("flag", "start", "banner")["status"] == "running"
    assert [each["key"] for each in shop.told("experiment", "list")] == ["button"]
    assert [each["key"] for each in shop.told("flag", "list")] == ["banner", "button"]

    shop.call("experiment", "create", "second", "--owner", "ann", "--metric", "purchase")
    second = shop.told("experiment", "show", "second")
    assert (second["variants"], second["metrics"]) == (["control", "treatment"], ["purchase"])


def test_what_create_cannot_use_is_told_by_field(shop: Shop):
    with pytest.raises(PeekproofError, match=r"rollout: 101 is not allowed; it must be a number from 0 to 100"):
        shop.call("flag", "create", "banner", "--owner", "ann", "--rollout", "101")
    with pytest.raises(PeekproofError, match=r"metrics\[0\]\.metric: 'x' is no metric; there are none"):
        shop.call("experiment", "create", "banner", "--owner", "ann", "--metric", "x")


def test_a_draft_that_was_created_is_shown_as_a_file_that_apply_knows(shop: Shop, tmp_path: Path):
    shop.call("flag", "create", "banner", "--owner", "ann", "--rollout", "20")
    (tmp_path / "shown" / "flags").mkdir(parents=True)
    (tmp_path / "shown" / "flags" / "banner.yaml").write_text(shop.call("flag", "show", "banner").stdout)

    assert "the catalog holds them as they are" in shop.call("apply", str(tmp_path / "shown")).stdout


def test_two_versions_are_compared_place_by_place(shop: Shop):
    shop.apply()
    shop.rewrite("rollout: 50", "rollout: 60")
    shop.apply()
    shop.call("flag", "start", "button")

    assert shop.call("flag", "diff", "button").stdout == 'status: "draft" -> "running"\n'
    assert shop.call("flag", "diff", "button", "1", "2").stdout == "rollout: 50 -> 60\n"
    assert shop.told("flag", "diff", "button", "2", "1") == [{"path": "rollout", "before": 60, "after": 50}]
    assert shop.call("flag", "diff", "button", "2", "2").stdout == "they are the same\n"
    with pytest.raises(PeekproofError, match="'button' has no version 7; it has 1 to 3"):
        shop.call("flag", "diff", "button", "7")


def test_stale_flags_are_listed_and_none_that_is_permanent(shop: Shop):
    shop.apply()
    shop.call("flag", "create", "banner", "--owner", "ann")

    assert shop.call("flag", "stale").stdout == "none has stood still for 30 days\n"
    assert [each["key"] for each in shop.told("flag", "stale", "--days", "0")] == ["banner", "button"]
    shop.rewrite("owner: shop", "owner: shop\ntags: [permanent]")
    shop.apply()
    assert "banner  ann" in (table := shop.call("flag", "stale", "--days", "0").stdout)
    assert "everybody gets 'off' (draft)" in table
    assert "button" not in table


def test_a_risky_edit_by_files_says_what_it_costs_and_wants_a_yes(shop: Shop, deployment: Settings):
    shop.apply()
    shop.call("experiment", "start", "button")
    shop.rewrite("key: treatment", "key: treatment\n    weight: 3")

    with pytest.raises(PeekproofError, match=r"button: exp-1 goes on with weights control 1, treatment 3 instead of"):
        shop.apply()
    assert read_catalog(deployment).newest.version_of("flag", "button") == 2
    assert "For the analysis they stay in the one that they met first" in shop.apply("--yes").stdout


def test_f01_a_flag_that_cannot_be_evaluated_is_refused_on_every_way_and_told_where_it_stands(
    shop: Shop, deployment: Settings, caplog: pytest.LogCaptureFixture
):
    condition = f"property: user_properties.mail\n    op: regex match\n    values: ['{PATTERN}']"
    segment = f"segments:\n- name: s\n  conditions:\n  - {condition}\n"
    file = shop.directory / "flags" / "mail.yaml"
    file.parent.mkdir()
    file.write_text(f"key: mail\nowner: shop\nvariants: [{{key: on}}]\n{segment}")
    for command in ("validate", "apply"):
        told = shop.call(command, str(shop.directory), code=2).stderr
        assert f"mail.yaml:9: segments[0].conditions[0].values[0]: '{PATTERN}' is no regular expression" in told

    async def write(version: int) -> None:
        """As somebody did before there was this rule."""
        state = draft = apply_definition(None, UNANSWERABLE, 1)
        async with CatalogWriter(deployment) as writer:
            if version == 2:
                state = start(draft, 2, "salt0001")
            await writer.publish(writer.next_version(state, "ann", "before"))

    asyncio.run(write(1))
    with pytest.raises(PeekproofError, match="'mail' cannot be evaluated; mend and apply it first"):
        shop.call("flag", "start", "mail")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        asyncio.run(write(2))

    assert "flag 'mail' gives 'off' to everybody, for no engine can evaluate it: segment 'Shop'" in caplog.text
    assert PATTERN in caplog.text
    assert f"# version 2, running, but everybody gets 'off': segment 'Shop', user_properties.mail: '{PATTERN}'" in (
        shop.call("flag", "show", "mail").stdout
    )
    (line,) = [line for line in shop.call("flag", "list").stdout.splitlines() if line.startswith("mail ")]
    assert "running, but everybody gets 'off' " in line
    assert PATTERN not in line  # `show` has all of it
    (found,) = [each for each in shop.told("flag", "list") if each["key"] == "mail"]
    assert PATTERN in found["problem"]


def test_f02_what_is_shown_and_applied_changes_nothing(shop: Shop):
    shop.rewrite(
        "- key: control", "- key: control\n    payload: {id: 12345678901234567890123, zip: '089', code: '1e3'}"
    )
    shop.rewrite("- key: treatment", "- key: treatment\n    users: [12345678901234567890, 0123, 4.20]")
    shop.apply()

    shop.flag.write_text(shop.call("flag", "show", "button").stdout)

    assert "the catalog holds them as they are" in shop.apply().stdout
    (control, treatment) = shop.told("flag", "show", "button")["state"]["definition"]["variants"]
    assert control["payload"] == {"id": 12345678901234567890123, "zip": "089", "code": "1e3"}
    assert treatment["users"] == ["12345678901234567890", "0123", "4.20"]


def test_the_end_of_what_a_running_flag_needs_wants_a_yes_and_is_told_ever_after(shop: Shop):
    shop.apply()
    (shop.directory / "flags").mkdir()
    (shop.directory / "flags" / "base.yaml").write_text("key: base\nowner: ann\nvariants: [{ key: on }]\n")
    shop.rewrite("rollout: 50", "prerequisites: { base: [on] }\nrollout: 50")
    shop.apply()
    early = shop.told("experiment", "start", "button")
    why = "it needs on of 'base', which gives 'off' to everybody"
    assert early["consequences"] == [f"exp-1 begins: nobody enters: {why} (draft)"]
    shop.call("flag", "start", "base")

    for step in (("complete", "base"), ("rollback", "base")):
        with pytest.raises(PeekproofError) as refused:
            shop.call("flag", *step)
        lost = "'button' gives 'off' to everybody but those listed, and exp-1 takes no more units"
        assert f"{lost}: {why}" in str(refused.value)
        assert "say --yes" in str(refused.value)
    base = shop.directory / "flags" / "base.yaml"
    base.write_text(base.read_text() + "rollout: 0\n")
    with pytest.raises(PeekproofError, match=why):
        shop.apply()
    assert "'button' gives 'off'" in shop.call("flag", "complete", "base", "--yes").stdout

    (told,) = [each for each in shop.told("experiment", "list") if each["key"] == "button"]
    assert told["problem"] == f"{why} (complete)"
    assert f"but everybody gets 'off': {why} (complete)" in shop.call("flag", "show", "button").stdout
    found = shop.call("doctor", "--json", code=1).stdout
    assert f"flag 'button' gives 'off' to everybody but those listed: {why} (complete)" in found
    again = shop.told("experiment", "restart", "button", "--yes")
    assert f"exp-2 begins: nobody enters: {why} (complete)" in again["consequences"][1]
