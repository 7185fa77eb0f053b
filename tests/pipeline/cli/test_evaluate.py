"""`peekproof evaluate`: what flags yield for users, without a server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.flags import load_flags

CONFIGS = Path(__file__).parents[3] / "configs"
OFF = {"key": "off", "metadata": {"default": True}}
ON = {"key": "on", "value": "on", "payload": {"colour": "red"}}


def flag(key, *conditions, otherwise="off", **fields):
    """A flag that is `on` for those who satisfy all (selector, operator, value)."""
    every = [{"selector": at.split("."), "op": op, "values": [value]} for at, op, value in conditions]
    segments = [{"conditions": [every], "variant": "on", "metadata": {"segmentName": "some"}}]
    segments += [{"variant": otherwise}] if otherwise else []
    return {"key": key, "variants": {"on": ON, "off": OFF}, "segments": segments, **fields}


PRO = flag("pro", ("context.user.user_properties.plan", "is", "pro"), metadata={"flagVersion": 3})
SHOE = flag("shoe", ("context.user.shoe_size", "greater", "45"))
ACME = flag("acme", ("context.groups.org.group_name", "is", "acme"), otherwise=None)
PAGE = flag("page", ("context.page.url", "contains", "/basket"), otherwise=None)


@pytest.fixture
def evaluate(tmp_path):
    """Runs the command over flags (a list of v2 flags, or a directory) and the text of a file of users."""

    def run(flags: list | Path, users: str, *options: str, code: int = 0) -> Result:
        source, file = flags, tmp_path / "users.json"
        if isinstance(flags, list):
            source = tmp_path / "flags.json"
            source.write_text(json.dumps(flags))
        file.write_text(users)
        result = CliRunner().invoke(command, ["evaluate", "--flags", str(source), "--user", str(file), *options])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def answers(evaluate):
    """What the command says with --json, a line for each user."""

    def run(flags: list | Path, *users: dict, code: int = 0) -> list[dict]:
        text = "\n".join(map(json.dumps, users))
        return [json.loads(line) for line in evaluate(flags, text, "--json", code=code).stdout.splitlines()]

    return run


def keys(answer):
    return {flag: each["key"] for flag, each in answer.items()}


def test_an_answer_is_an_object_from_flag_to_variant_and_says_why(answers):
    (answer,) = answers([PRO], {"user_id": "ann", "user_properties": {"plan": "pro"}})

    assert answer == {
        "pro": {
            "key": "on",
            "value": "on",
            "payload": {"colour": "red"},
            "metadata": {"flagVersion": 3, "segmentName": "some"},
            "reason": "segment",
            "basis": "condition",
        }
    }


def test_off_is_a_variant_like_any_other_and_a_flag_that_yields_none_is_absent(answers):
    (answer,) = answers([PRO, ACME], {"user_id": "ann"})

    assert answer == {
        "pro": {
            "key": "off",
            "value": None,
            "payload": None,
            "metadata": {"flagVersion": 3, "default": True},
            "reason": "not allocated",
            "basis": "the rest",
        }
    }


def test_a_user_has_amplitudes_fields_and_others_are_found_beside_them(answers):
    user = {"user_properties": {"plan": "pro"}, "groups": {"org": ["acme"]}, "shoe_size": 46}

    assert keys(*answers([PRO, ACME, SHOE], user)) == {"pro": "on", "acme": "on", "shoe": "on"}


def test_one_user_may_stand_on_many_lines_and_many_users_stand_on_one_line_each(evaluate):
    ann, bob = {"user_id": "ann", "user_properties": {"plan": "pro"}}, {}

    assert evaluate([PRO], json.dumps(ann, indent=2)).stdout == "pro: on (segment)\n"
    both = evaluate([PRO], f"{json.dumps(ann)}\n\n{json.dumps(bob)}\n").stdout
    assert both == "ann: pro: on (segment)\nuser 2: pro: off (not allocated)\n"
    contexts = [{"context": {"user": {"device_id": device}}} for device in ("d1", "d2")]
    assert [
        line.split(":")[0] for line in evaluate([PRO], "\n".join(map(json.dumps, contexts))).stdout.splitlines()
    ] == [
        "d1",
        "d2",
    ]
    assert evaluate([PRO], "", "--json").stdout == ""


def test_what_nobody_reads_of_a_configuration_as_it_is_written_is_noted(tmp_path):
    text = json.dumps([flag("pro", ("context.user.user_id", "is", "ann"))]).replace(
        '"key": "on"', '"key": "on", "key": "on"', 1
    )
    (tmp_path / "flags.json").write_text(text)
    arguments = ["evaluate", "--flags", str(tmp_path / "flags.json"), "--user", '{"user_id": "ann"}']

    result = CliRunner().invoke(command, arguments)

    assert (result.exit_code, result.stdout) == (0, "pro: on (segment)\n")
    assert "note: [0].variants.on.key: stands here twice; keep one of the two" in result.stderr


def test_a_line_may_be_an_evaluation_context(answers):
    context = {"user": {"user_properties": {"plan": "pro"}}, "page": {"url": "https://shop.example/basket"}}

    one, other = answers([PRO, PAGE], {"context": context}, {"context": "a property like any other"})

    assert keys(one) == {"pro": "on", "page": "on"}
    assert keys(other) == {"pro": "off"}


def test_flags_on_a_cycle_are_named_and_yield_nothing(evaluate):
    one, other = flag("one", dependencies=["other"]), flag("other", dependencies=["one"])

    result = evaluate([one, PRO, other], "{}", "--json", code=2)

    assert keys(json.loads(result.stdout)) == {"pro": "off"}
    assert result.stderr.splitlines() == [
        "flag 'one': lies on a cycle of dependencies (one → other → one); break it",
        "flag 'other': lies on a cycle of dependencies (one → other → one); break it",
    ]


def test_a_flag_that_cannot_be_read_is_named_and_the_others_are_answered(evaluate):
    pattern = flag("pattern", ("context.user.user_id", "regex match", "(?=a)"))

    result = evaluate([{"key": "half"}, PRO, pattern, 7], "{}\n{}", "--json", code=2)

    assert [keys(json.loads(line)) for line in result.stdout.splitlines()] == [{"pro": "off"}] * 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "flag 'half'",
        "flag '[3]'",
        "flag 'pattern'",
    ]


def documents(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / "documents" / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "documents"


BUTTON = "key: button\nowner: shop\nvariants: [{key: on, users: [ann]}]\nrollout: 0\n"


def test_the_flags_of_a_directory_of_documents_count_as_running(answers):
    ann, bob = answers(CONFIGS, {"user_id": "ann@shop.example"}, {"user_id": "bob"})

    assert ann["new-search"]["key"] == "on"
    assert (bob["new-search"]["key"], bob["new-search"]["reason"]) == ("off", "not allocated")
    assert ann["checkout-button"]["reason"] == "inclusion"
    assert bob["checkout-button"]["key"] in {"control", "treatment"}
    assert bob["checkout-button"]["metadata"]["experimentKey"] == "exp-1"


def test_documents_are_bucketed_with_their_key_as_salt(tmp_path, answers):
    half = BUTTON.replace("rollout: 0", "rollout: 50")
    bucket = {
        "selector": ["context", "user", "user_id"],
        "salt": "button",
        "allocations": [{"range": [0, 50], "distributions": [{"variant": "on", "range": [0, 42_949_673]}]}],
    }
    users = [{"user_id": f"user-{number}"} for number in range(200)]

    said = answers(documents(tmp_path, flags__button=half), *users)

    expected = answers([flag("button") | {"segments": [{"bucket": bucket, "variant": "off"}]}], *users)
    assert [each["button"]["key"] for each in said] == [each["button"]["key"] for each in expected]
    assert len({each["button"]["key"] for each in said}) == 2


def test_a_document_that_cannot_be_used_is_named_with_file_and_line_and_the_others_are_answered(tmp_path, evaluate):
    directory = documents(
        tmp_path,
        flags__button=BUTTON,
        flags__wrong=BUTTON.replace("button", "wrong").replace("rollout: 0", "rollout: 101"),
        flags__broken="key: [",
        flags__grouped=BUTTON.replace("button", "grouped") + "groups: [{group: slots, slots: [1]}]\n",
        groups__slots="key: slots\nowner: shop\ntype: mutual-exclusion\nslots: [{percentage: 101}]\n",
    )

    result = evaluate(directory, '{"user_id": "ann"}', "--json", code=2)

    assert keys(json.loads(result.stdout)) == {"button": "on"}
    told = result.stderr.splitlines()
    assert sorted(line.split(":")[0] for line in told) == [
        *("flag 'broken'", "flag 'grouped'", "flag 'slots'", "flag 'wrong'")
    ]
    assert f"flag 'wrong': {directory}/flags/wrong.yaml:4: rollout: 101 is not allowed" in result.stderr


def test_prerequisites_of_documents_on_a_cycle_are_named_and_what_lies_below_is_off(tmp_path, evaluate):
    def needing(key, parent):
        return (
            BUTTON.replace("button", key).replace("rollout: 0", "rollout: 100") + f"prerequisites: {{{parent}: [on]}}\n"
        )

    directory = documents(
        tmp_path, flags__a=needing("a", "b"), flags__b=needing("b", "a"), flags__c=needing("c", "a"), flags__d=BUTTON
    )

    result = evaluate(directory, "{}", "--json", code=2)

    assert keys(json.loads(result.stdout)) == {"button": "off", "c": "off"}
    assert "the prerequisites form a cycle: a -> b -> a" in result.stderr
    assert "the prerequisites form a cycle: b -> a -> b" in result.stderr


@pytest.mark.parametrize("users", ["[1]", "{}\nnothing", "[" * 100_000])
def test_what_is_no_user_is_refused(evaluate, users):
    result = evaluate([PRO], users, code=1)

    assert isinstance(result.exception, PeekproofError)
    assert "write one user as a JSON object a line" in str(result.exception)


def test_what_is_no_file_of_flags_is_refused(tmp_path):
    with pytest.raises(PeekproofError, match="cannot be read: No such file"):
        load_flags(tmp_path / "nowhere")
    (tmp_path / "flags.json").write_text("{}")
    with pytest.raises(PeekproofError, match="flags are a JSON array"):
        load_flags(tmp_path / "flags.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PeekproofError, match="holds no documents"):
        load_flags(tmp_path / "empty")


def told(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(command, ["evaluate", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_f17_a_user_may_stand_in_the_command_itself(tmp_path):
    (tmp_path / "flags.json").write_text(json.dumps([PRO]))

    said = told("--flags", str(tmp_path / "flags.json"), "--user", ' {"user_properties": {"plan": "pro"}}')

    assert said.stdout == "pro: on (segment)\n"
    broken = told("--flags", str(tmp_path / "flags.json"), "--user", "{user_id: ann}", code=1)
    assert "'--user': JSON is malformed" in str(broken.exception)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_f17_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path, encoding):
    (tmp_path / "flags.json").write_text(json.dumps([PRO]), encoding=encoding)
    (tmp_path / "users.json").write_text('{"user_properties": {"plan": "pro"}}\n{}', encoding=encoding)

    said = told("--flags", str(tmp_path / "flags.json"), "--user", str(tmp_path / "users.json"))

    assert said.stdout == "user 1: pro: on (segment)\nuser 2: pro: off (not allocated)\n"


def test_f17_one_document_is_evaluated_with_what_it_names(tmp_path):
    directory = documents(
        tmp_path,
        flags__button=BUTTON,
        flags__deep__child=BUTTON.replace("button", "child").replace("rollout: 0", "prerequisites: {button: [on]}"),
        flags__wrong="key: [",
    )

    for name, said in (
        ("flags/button.yaml", {"button": "on"}),
        ("flags/deep/child.yaml", {"button": "on", "child": "on"}),
    ):
        assert (
            keys(json.loads(told("--flags", str(directory / name), "--user", '{"user_id":"ann"}', "--json").stdout))
            == said
        )
    wrong = told("--flags", str(directory / "flags" / "wrong.yaml"), "--user", "{}", code=2)
    assert f"flag 'wrong': {directory}/flags/wrong.yaml:1:" in wrong.stderr
    example = told("--flags", str(CONFIGS / "flags" / "new-search.yaml"), "--user", '{"user_id":"u7"}')
    assert example.stdout == "new-search: on (segment)\n"


def test_f17_a_document_that_lies_anywhere_is_evaluated_alone(tmp_path):
    path = tmp_path / "one.yml"
    path.write_text(BUTTON)
    assert told("--flags", str(path), "--user", '{"user_id":"ann"}').stdout == "button: on (inclusion)\n"

    path.write_text(BUTTON + "groups: [{group: slots}]\n")
    assert (
        f"{path}:5: groups[0].group: 'slots' is no group" in told("--flags", str(path), "--user", "{}", code=2).stderr
    )
    path.write_text("key: [")
    assert "expected" in told("--flags", str(path), "--user", "{}", code=2).stderr
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "a.yaml").write_text("key: m\nowner: o\ntype: count\nevent: e\nwindow: 1d\n")
    no_flag = told("--flags", str(tmp_path / "metrics" / "a.yaml"), "--user", "{}", code=1)
    assert "holds no flag" in str(no_flag.exception)


def test_f17_a_configuration_that_asks_for_cohorts_says_that_it_does_not_know_them(evaluate):
    beta = flag("beta", ("context.user.cohort_ids", "set contains any", "testers"))

    asking = evaluate([PRO, beta], '{"user_id": "ann"}\n{"user_id": "bob"}')
    assert asking.stderr == (
        "flag 'beta': asks whether users are in testers, which a configuration does not say; nobody is, unless the "
        'user says so: "cohort_ids": ["testers"]\n'
    )
    said = evaluate([PRO, beta], '{"user_id": "ann", "cohort_ids": ["testers"]}')
    assert (said.stdout.splitlines()[1], said.stderr) == ("beta: on (segment)", "")
