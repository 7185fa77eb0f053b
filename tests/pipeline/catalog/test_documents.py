"""Documents as files: what is read, and where an error is."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.documents import read_documents, read_flag, read_sound
from pipeline.catalog.faults import DocumentError
from pipeline.catalog.folders import FOLDERS
from pipeline.catalog.yaml_file import document_text
from pipeline.errors import PeekproofError
from schemas.catalog import Condition, Flag, Variant
from schemas.json_schema import json_schema

CONFIGS = Path(__file__).parents[3] / "configs"
METRIC = """\
key: purchase
owner: shop
type: conversion
event: purchase
window: 10s
"""
FLAG = """\
key: button
owner: shop
variants:
  - key: control
  - key: treatment
metrics:
  - metric: purchase
"""


def directory(tmp_path: Path, metric: str | bytes = METRIC, flag: str | bytes = FLAG) -> Path:
    for folder, content in (("metrics", metric), ("experiments", flag)):
        (tmp_path / folder).mkdir()
        text = content if isinstance(content, bytes) else content.encode()
        (tmp_path / folder / "a.yaml").write_bytes(text)
    return tmp_path


def faults(root: Path) -> list[str]:
    """Each fault as `folder/file:line: message`."""
    with pytest.raises(DocumentError) as error:
        read_documents(root)
    return [line.removeprefix(f"{root}/") for line in str(error.value).splitlines()]


def test_a_directory_gives_its_documents_by_key(tmp_path: Path):
    documents = read_documents(directory(tmp_path))

    assert documents.metrics["purchase"].definition.window == "10s"
    assert [variant.key for variant in documents.flags["button"].definition.variants] == ["control", "treatment"]


def test_the_example_documents_are_sound():
    documents = read_documents(CONFIGS)

    assert {"purchase", "revenue", "page_views", "app_error"} <= set(documents.metrics)
    experiments = {key: flag.definition for key, flag in documents.flags.items() if flag.definition.metrics}
    assert {"checkout-button", "ranking-aa", "new-player"} <= set(experiments)
    plain = {"dark-mode", "new-search", "express-delivery", "faster-images", "recommendations"}
    assert set(documents.flags) - set(experiments) == plain
    assert documents.cohorts["beta-testers"].definition.ids[:2] == ("ann@shop.example", "u7")
    assert all(flag.hypothesis and flag.owner for flag in experiments.values())


@pytest.mark.parametrize("word", ["on", "yes", "no", "2026-03-01", "1:30", "0x10", "1_000", ".inf"])
def test_a_word_that_yaml_1_1_makes_something_else_of_is_a_text(tmp_path: Path, word: str):
    documents = read_documents(directory(tmp_path, flag=f"{FLAG}name: {word}\n"))

    assert documents.flags["button"].definition.name == word


def test_a_character_may_be_two_escapes_as_in_json(tmp_path: Path):
    documents = read_documents(directory(tmp_path, metric=METRIC + 'name: "\\ud83d\\ude00"\n'))

    assert documents.metrics["purchase"].definition.name == "😀"


def test_payloads_keep_their_types(tmp_path: Path):
    payload = "{a: 1, b: 1.5, c: true, d: null, e: [x, '1'], f: 7, g: 1e3, h: ~}"
    variants = FLAG.replace("- key: control", f"- key: control\n    payload: {payload}")

    documents = read_documents(directory(tmp_path, flag=variants))

    expected = {"a": 1, "b": 1.5, "c": True, "d": None, "e": ["x", "1"], "f": 7, "g": 1000.0, "h": None}
    assert documents.flags["button"].definition.variants[0].payload == expected


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        (METRIC + "typ: sum\n", "6: typ: is no field of this document; did you mean 'type'?"),
        (METRIC + "owner: me\n", "6: owner: stands in line 2 already; keep one of the two"),
        (METRIC.replace("window: 10s\n", ""), "1: window: is missing; it must be a duration, for example"),
        (METRIC.replace("10s", "10 s"), "5: window: '10 s' is not allowed; it must be a duration"),
        (METRIC.replace("10s", "0s"), "5: window: '0s' is not allowed; it must be a duration"),
        (METRIC.replace("10s", "10"), "5: window: '10' is not allowed; it must be a duration"),
        (METRIC.replace("conversion", "average"), "3: type: 'average' is not allowed; it must be one of conversion, c"),
        (METRIC.replace("conversion", "sum"), "3: type: a sum adds up a property of its event"),
        (METRIC + "property: price\n", "6: property: would be ignored: a conversion reads no `property`"),
        (METRIC + "scale: 10\n", "6: scale: 10 is not allowed; it must be a whole number from 0 to 9"),
        (METRIC.replace("key: purchase", "key: Pürchase"), "1: key: 'Pürchase' is not allowed; it must be 1 to 100"),
        (METRIC.replace("shop", ""), "2: owner: nothing is not allowed; it must be a text"),
        (METRIC.replace("shop", "[a]"), "2: owner: a list is not allowed; it must be a text"),
        ("", "1: is empty"),
        ("- a", "1: a list is not allowed; it has fields: key, name"),
        ("key: [a", "1: expected ',' or ']'"),
        ("key: a\n\tb: c", "2: found character '\\t' that cannot start any token"),
        (METRIC + "---\n" + METRIC, "7: a second document begins here; put it into a file of its own"),
        ("key: &k a\nname: *k\n", "2: '*k' refers to another place; write the value out"),
        ("? [a]\n: b\n" + METRIC, "1: a list or a group of fields is no name of a field"),
        (b"key: \xff", "1: byte 5 is not UTF-8"),
        (b"key: \x07", "1: is no YAML"),
        ("[" * 5_000, "1: is nested too deeply"),
        (METRIC.replace("shop", '"\\ud83d"'), "2: owner: the text has \\ud83d, half of a surrogate pair"),
        (METRIC + '"\\ud83d": 1\n', "6: the text has \\ud83d, half of a surrogate pair"),
    ],
)
def test_a_fault_names_file_line_value_rule_and_way_out(tmp_path: Path, metric: str | bytes, fault: str):
    found = faults(directory(tmp_path, metric=metric))

    assert any(line.startswith(f"metrics/a.yaml:{fault}") for line in found), found
    assert not any(line.startswith("experiments") for line in found), "the broken metric is reported, not who names it"


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        (FLAG.replace("metric: purchase", "metric: purchse"), "7: metrics[0].metric: 'purchse' is no metric; did you"),
        (FLAG.replace("key: treatment", "key: off"), "5: variants[1].key: 'off' is reserved"),
        (FLAG.replace("key: treatment", "key: control"), "5: variants[1].key: 'control' is the key of two variants"),
        (FLAG.replace("- key: treatment", "- name: x"), "5: variants[1].key: is missing; it must be 1 to 100"),
        (FLAG + "control: contrl\n", "8: control: 'contrl' is no variant; did you mean 'control'?"),
        (FLAG + "rollout: 101\n", "8: rollout: 101 is not allowed; it must be a number from 0 to 100"),
        (FLAG + "rollout: yes\n", "8: rollout: 'yes' is not allowed"),
        (FLAG + "rollout: true\n", "8: rollout: true is not allowed"),
        (FLAG + "unit: group\n", "8: unit: 'group' is not allowed; it must be what is randomised: user_id, device_id"),
        (FLAG + "tags: demo\n", "8: tags: 'demo' is not allowed; it must be a list: write ['demo']"),
        (FLAG + "start: tomorrow\n", "8: start: 'tomorrow' is no ISO 8601 date"),
        (FLAG + "start: 2026-03-02\nend: 2026-03-01\n", "9: end: '2026-03-01' is not after the start, '2026-03-02'"),
        (FLAG + "hypothesis:\n  problem: p\n  solution: s\n", "8: hypothesis.prediction: is missing; it must be a sen"),
        (FLAG.replace("treatment", "treatment\n    users: [~]"), "6: variants[1].users[0]: nothing is not allowed"),
        (
            "key: button\nowner: me\nvariants:\n- key: a\n  users: [u]\n- key: b\n  users:\n  - t\n  - u\n",
            "9: variants[1].users[1]: 'u' is listed under 'a' and 'b'",
        ),
    ],
)
def test_a_fault_of_an_experiment_names_the_line(tmp_path: Path, flag: str, fault: str):
    (found,) = faults(directory(tmp_path, flag=flag))

    assert found.startswith(f"experiments/a.yaml:{fault}")


@pytest.mark.parametrize("word", ["12345678901234567890", "0123", "4.20", "42", "1e3", "true", "+436601234"])
def test_f02_a_text_is_read_as_it_is_written(tmp_path: Path, word: str):
    segment = f"segments: [{{name: s, conditions: [{{property: version, op: is, values: [{word}]}}]}}]\n"
    flag = FLAG.replace("treatment", f"treatment\n    users: [{word}]").replace("owner: shop", f"owner: {word}")

    definition = read_documents(directory(tmp_path, flag=flag + segment)).flags["button"].definition

    assert definition.variants[1].users == (word,)
    assert definition.owner == word
    assert definition.segments[0].conditions[0].values == (word,)


@pytest.mark.parametrize("number", [2**53 + 1, 12345678901234567890, -(10**30), 0, 0.5, 1e3, 4.2])
def test_f02_a_number_of_a_payload_keeps_its_digits(tmp_path: Path, number: float):
    variants = FLAG.replace("- key: control", f"- key: control\n    payload: {{a: [{number}]}}")

    definition = read_documents(directory(tmp_path, flag=variants)).flags["button"].definition

    assert definition.variants[0].payload == {"a": [number]}
    assert msgspec.json.decode(msgspec.json.encode(definition), type=Flag) == definition


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0123", "123"),
        ("01234", "1234"),
        ("4.20", "4.2"),
        ("+436601234", "436601234"),
        ("0.12345678901234567890", "0.12345678901234568"),
        ("1e-400", "0.0"),
    ],
)
def test_f02_what_would_lose_digits_in_a_payload_is_refused(tmp_path: Path, text: str, read: str):
    (fault,) = faults(
        directory(tmp_path, flag=FLAG.replace("- key: control", f"- key: control\n    payload: {{a: {text}}}"))
    )

    assert fault == (
        f"experiments/a.yaml:5: variants[0].payload.a: {text} would be read as the number {read}; write that, or in "
        f"quotes the text '{text}'"
    )


def test_f02_a_number_that_nobody_can_read_is_refused(tmp_path: Path):
    for number in ("1e400", "1" * 5_000):
        (tmp_path / number[:3]).mkdir()
        flag = FLAG.replace("- key: control", f"- key: control\n    payload: {number}")
        (fault,) = faults(directory(tmp_path / number[:3], flag=flag))
        assert "is too large for a number; write it in quotes" in fault
    (tmp_path / "small").mkdir()
    tiny = "1e-99999999999999999999"
    (fault,) = faults(
        directory(tmp_path / "small", flag=FLAG.replace("- key: control", f"- key: control\n    payload: {tiny}"))
    )
    assert f"{tiny} would be read as the number 0.0" in fault


@pytest.mark.parametrize(("written", "read"), [("1e1", 10), ("50.0", 50), ("-0.0", 0), ("0.50", 0.5)])
def test_a_whole_percentage_may_be_written_in_any_way(tmp_path: Path, written: str, read: float):
    documents = read_documents(directory(tmp_path, flag=FLAG + f"rollout: {written}\n"))

    rollout = documents.flags["button"].definition.rollout
    assert (rollout, type(rollout)) == (read, type(read))


PAYLOADS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.from_regex(r"[-+]?[0-9._eExo]{1,8}", fullmatch=True),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=5,
)


@given(PAYLOADS)
def test_f02_what_is_shown_is_read_as_the_same(tmp_path_factory: pytest.TempPathFactory, payload: object):
    definition = Flag(key="button", owner="shop", variants=(Variant(key="on", payload=payload, users=("0123", "089")),))
    root = tmp_path_factory.mktemp("shown")
    (root / "flags").mkdir()
    (root / "flags" / "a.yaml").write_text(document_text(definition), encoding="utf-8", newline="")

    read = read_documents(root).flags["button"].definition

    assert msgspec.json.encode(read) == msgspec.json.encode(definition)


def test_every_fault_of_every_file_is_reported_at_once(tmp_path: Path):
    root = directory(tmp_path, METRIC.replace("10s", "x") + "scale: x\n", FLAG + "rollout: x\ntags: x\nowner: x\n")

    assert [line.partition(": ")[0] for line in faults(root)] == [
        "experiments/a.yaml:8",
        "experiments/a.yaml:9",
        "experiments/a.yaml:10",
        "metrics/a.yaml:5",
        "metrics/a.yaml:6",
    ]


def test_two_files_of_one_key_are_a_fault_that_names_both(tmp_path: Path):
    root = directory(tmp_path)
    (root / "metrics" / "b.yml").write_text("# again\n" + METRIC)

    (fault,) = faults(root)

    assert fault.startswith("metrics/b.yml:2: key: 'purchase' is the key of ")
    assert "metrics/a.yaml too" in fault


def test_a_directory_that_is_not_there_or_holds_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(PeekproofError, match="is no directory; name the one that holds"):
        read_documents(tmp_path / "nowhere")
    with pytest.raises(PeekproofError, match="holds no documents"):
        read_documents(tmp_path)


AUDIENCE = """\
key: beta
owner: shop
variants:
  - key: on
    cohorts: [testers]
segments:
  - name: Testers of the shop
    conditions:
      - property: cohort
        op: set contains any
        values: [testers]
  - name: Heavy users
    conditions:
      - {property: user_properties.orders, op: greater, values: ["9"]}
    rollout: 50
    weights: {on: 1}
rollout: 0
prerequisites:
  button: [treatment, off]
groups:
  - group: slots
    slots: [2]
sticky: true
deployments: [web]
"""
GROUP = """\
key: slots
owner: shop
type: mutual-exclusion
slots:
  - percentage: 60
  - percentage: 40
    cohorts: [testers]
"""
COHORT = "key: testers\nowner: shop\nfile: testers.txt\n"
DEPLOYMENT = "key: web\nowner: shop\ntype: client\n"


def whole(root: Path, **files: str) -> Path:
    """A directory with a document of every kind; `files` take the place of some."""
    directory(root)
    kinds = {"flags": AUDIENCE, "groups": GROUP, "cohorts": COHORT, "deployments": DEPLOYMENT} | files
    for folder, text in kinds.items():
        (root / folder).mkdir()
        (root / folder / "a.yaml").write_text(text)
    (root / "cohorts" / "testers.txt").write_text("ann\n\n  bob \nann\n")
    return root


def test_every_kind_of_document_is_read_and_a_cohort_with_the_ids_of_its_file(tmp_path: Path):
    documents = read_documents(whole(tmp_path))

    flag = documents.flags["beta"].definition
    assert [segment.rollout for segment in flag.segments] == [100, 50]
    assert flag.segments[1].conditions[0] == Condition(property="user_properties.orders", op="greater", values=("9",))
    assert flag.prerequisites == {"button": ("treatment", "off")}
    assert documents.cohorts["testers"].definition.ids == ("ann", "bob")
    assert documents.groups["slots"].definition.slots[1].cohorts == ("testers",)
    assert documents.deployments["web"].definition.type == "client"


@pytest.mark.parametrize(
    ("folder", "before", "after", "fault"),
    [
        (
            "flags",
            "greater",
            "more",
            "14: segments[1].conditions[0].op: 'more' is not allowed; it must be one of is, is",
        ),
        (
            "flags",
            '["9"]',
            "[~]",
            "14: segments[1].conditions[0].values[0]: nothing is not allowed; it must be a text of",
        ),
        ("flags", '["9"]', "[]", "14: segments[1].conditions[0].values: the list has 0 items; it must have at least 1"),
        ("flags", ', values: ["9"]', "", "14: segments[1].conditions[0].values: is missing; it must be a list"),
        (
            "flags",
            "user_properties.orders",
            "orders",
            "14: segments[1].conditions[0].property: 'orders' is not allowed",
        ),
        ("flags", "{on: 1}", "[1]", "16: segments[1].weights: a list is not allowed; it must be a group of names and"),
        (
            "flags",
            "{on: 1}",
            "{-on: 1}",
            "16: segments[1].weights.-on: '-on' is not allowed; a name here must be 1 to 100",
        ),
        ("flags", "{on: 1}", "{on: x}", "16: segments[1].weights.on: 'x' is not allowed; it must be a whole number"),
        ("flags", "{on: 1}", "{no: 1}", "16: segments[1].weights.no: 'no' is no variant; known: on"),
        (
            "flags",
            "{on: 1}",
            "{on: 0}",
            "16: segments[1].weights: the weights of 'Heavy users' sum to 0; say rollout: 0",
        ),
        (
            "flags",
            "rollout: 0\n",
            "metrics: [{metric: purchase}]\n",
            "3: variants: 'on' is the only one; an experiment",
        ),
        ("flags", "button: [", "buton: [", "19: prerequisites.buton: 'buton' is no flag; did you mean 'button'?"),
        ("flags", "treatment, off", "treat", "19: prerequisites.button[0]: 'treat' is no variant of 'button'; did you"),
        ("flags", "slots: [2]", "slots: [3]", "22: groups[0].slots[0]: 3 is no slot of 'slots', which has 2"),
        ("flags", "slots: [2]", "slots: [21]", "22: groups[0].slots[0]: 21 is not allowed; it must be a whole number"),
        ("flags", "[web]", "[app]", "24: deployments[0]: 'app' is no deployment; known: web"),
        ("flags", "key: beta", "key: slots", "1: key: 'slots' is the key of a group; flags and groups share one space"),
        (
            "groups",
            "percentage: 60",
            "percentage: 61",
            "4: slots: the percentages sum to 101; together they are at most",
        ),
        (
            "groups",
            "type: mutual",
            "type: mutal",
            "3: type: 'mutal-exclusion' is not allowed; it must be one of mutual",
        ),
        ("groups", "[testers]", "[tester]", "7: slots[1].cohorts[0]: 'tester' is no cohort; did you mean 'testers'?"),
        ("cohorts", "testers.txt", "nowhere.txt", "3: file: "),
        ("cohorts", "testers.txt", "testers.txt\nids: [x]", "4: ids: would be replaced by those of the file; keep one"),
        (
            "cohorts",
            "shop",
            "shop\nunit: user_properties.x",
            "3: unit: 'user_properties.x' is not allowed; the ids are",
        ),
        ("deployments", "client", "phone", "3: type: 'phone' is not allowed; it must be one of client, server"),
    ],
)
def test_a_fault_of_any_kind_names_the_line(tmp_path: Path, folder: str, before: str, after: str, fault: str):
    text = {"flags": AUDIENCE, "groups": GROUP, "cohorts": COHORT, "deployments": DEPLOYMENT}[folder]
    assert before in text

    found = faults(whole(tmp_path, **{folder: text.replace(before, after)}))

    assert any(line.startswith(f"{folder}/a.yaml:{fault}") for line in found), found


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../secret.txt", "link.txt", "linked/secret.txt", "none/../../../secret.txt"]
)
def test_a_cohort_reads_no_file_outside_the_directory(tmp_path: Path, name: str):
    (tmp_path / "secret.txt").write_text("of nobody's business\n")
    root = tmp_path / "configs"
    root.mkdir()
    whole(root, cohorts=COHORT.replace("testers.txt", name))
    (root / "cohorts" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "cohorts" / "linked").symlink_to(tmp_path)

    assert faults(root) == [f"cohorts/a.yaml:3: file: '{name}' leads out of '{root}'; put the file beside this one"]
    documents, _ = read_sound(root)
    assert "testers" not in documents.cohorts


def test_a_cohort_reads_files_that_are_linked_within_the_directory(tmp_path: Path):
    whole(tmp_path, cohorts=COHORT.replace("testers.txt", "../shared/testers.txt"))
    (tmp_path / "..data").mkdir()  # as Kubernetes mounts a ConfigMap
    (tmp_path / "..data" / "testers.txt").write_text("eve\n")
    (tmp_path / "shared").symlink_to("..data")

    assert read_documents(tmp_path).cohorts["testers"].definition.ids == ("eve",)


def test_segments_of_an_experiment_share_its_weights(tmp_path: Path):
    segment = "segments: [{name: All, weights: {control: 1, treatment: 3}}]\n"

    (fault,) = faults(directory(tmp_path, flag=FLAG + segment))

    assert fault.startswith("experiments/a.yaml:8: segments[0].weights: 'All' may not have its own in an experiment")


def test_a_cycle_of_prerequisites_is_named_at_each_of_its_flags(tmp_path: Path):
    other = AUDIENCE.replace("key: beta", "key: other").replace("button: [treatment, off]", "beta: [on]")
    root = whole(tmp_path, flags=AUDIENCE.replace("button: [treatment, off]", "other: [on]"))
    (root / "flags" / "b.yaml").write_text(other)

    assert [line.partition(": take")[0].partition("cycle: ")[2].partition(";")[0] for line in faults(root)] == [
        "beta -> other -> beta",
        "other -> beta -> other",
    ]


def test_f10_documents_in_folders_within_and_whatever_their_end_is_written_like_are_read(tmp_path: Path):
    whole(tmp_path)
    for name, key in (("flags/team/deep/a.yaml", "a"), ("flags/B.YAML", "b"), ("experiments/c.Yml", "c")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"key: {key}\nowner: shop\nvariants: [{{key: on}}]\n")
    (tmp_path / "cohorts" / "eu").mkdir()
    (tmp_path / "cohorts" / "eu" / "a.yaml").write_text("key: eu\nowner: shop\nfile: ids.txt\n")
    (tmp_path / "cohorts" / "eu" / "ids.txt").write_text("u1\n")

    documents = read_documents(tmp_path)

    assert {"a", "b", "c"} <= documents.flags.keys()
    assert documents.cohorts["eu"].definition.ids == ("u1",)
    assert documents.notes == ()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            "flag/a.yaml",
            "flag/a.yaml:1: is not read, nor is what else lies in flag/: the folder is called flags/; rename",
        ),
        ("Flags/a.yaml", "Flags/a.yaml:1: is not read, nor is what else lies in Flags/: the folder is called flags/"),
        (
            "metric/x/a.yml",
            "metric/x/a.yml:1: is not read, nor is what else lies in metric/: the folder is called metrics/",
        ),
        ("flags/a.json", "flags/a.json:1: is not read: documents are YAML, which JSON is too; call it a.yaml"),
    ],
)
def test_f10_what_looks_like_a_document_and_is_not_read_is_a_fault(tmp_path: Path, name: str, fault: str):
    directory(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("key: a\n")

    (found,) = faults(tmp_path)

    assert found.startswith(fault)


def test_f10_what_may_be_none_is_noted(tmp_path: Path):
    whole(tmp_path)
    for name in ("charts/a.yaml", "b.yaml", "flags/a.yaml.bak", "flags/README.md", "cohorts/old.csv", ".git/a.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("key: a\n")

    notes = [str(note).removeprefix(f"{tmp_path}/") for note in read_documents(tmp_path).notes]

    places = f"documents lie in {', '.join(FOLDERS)}"
    assert notes == [
        f"b.yaml:1: is not read: {places}; move it there",
        f"charts/a.yaml:1: is not read, nor is what else lies in charts/: {places}",
        "cohorts/old.csv:1: is not read: no cohort names it as its `file`",
        "flags/a.yaml.bak:1: is not read: documents end in .yaml or .yml",
    ]


def test_f13_keys_with_capitals_are_told_apart_exactly(tmp_path: Path):
    flag = (
        FLAG.replace("button", "NewButton_2.X")
        .replace("treatment", "Treatment")
        .replace("metric: purchase", "metric: Purchase")
    )
    documents = read_documents(directory(tmp_path, METRIC.replace("key: purchase", "key: Purchase"), flag))

    assert [*documents.flags, *documents.metrics] == ["NewButton_2.X", "Purchase"]
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (fault,) = faults(directory(wrong, METRIC.replace("key: purchase", "key: Purchase"), FLAG))
    assert fault == "experiments/a.yaml:7: metrics[0].metric: 'purchase' is no metric; did you mean 'Purchase'?"


def test_f13_two_keys_that_differ_by_case_alone_are_refused(tmp_path: Path):
    whole(tmp_path)
    (tmp_path / "flags" / "b.yaml").write_text("owner: shop\nkey: Slots\nvariants: [{key: on}]\n")
    (tmp_path / "groups" / "b.yaml").write_text(GROUP.replace("slots", "SLOTS", 1))
    (tmp_path / "metrics" / "b.yaml").write_text(METRIC.replace("key: purchase", "key: Purchase"))

    assert [line.partition("; ")[0] for line in faults(tmp_path)] == [
        "groups/a.yaml:1: key: 'slots' and 'Slots' differ by case alone",
        "groups/b.yaml:1: key: 'SLOTS' and 'Slots' differ by case alone",
        "groups/b.yaml:1: key: 'SLOTS' and 'slots' differ by case alone",
        "metrics/b.yaml:1: key: 'Purchase' and 'purchase' differ by case alone",
    ]


@pytest.mark.parametrize(("key", "other"), [("Off", "off"), ("Control", "control")])
def test_f13_variants_that_differ_by_case_alone_are_refused(tmp_path: Path, key: str, other: str):
    (fault,) = faults(directory(tmp_path, flag=FLAG.replace("key: treatment", f"key: {key}")))

    assert fault.startswith(f"experiments/a.yaml:5: variants[1].key: '{key}' and '{other}' differ by case alone")


def test_neither_we_nor_editors_want_quotes_around_the_digits_of_a_text(tmp_path: Path):
    text = """
        key: 2026
        owner: ann
        variants: [{ key: a, users: [10115] }]
        segments:
          - { name: 18, conditions: [{ property: user_properties.age, op: greater, values: [18, 1.50] }], rollout: 100 }
    """
    path = tmp_path / "2026.yaml"
    path.write_text(text)

    documents, faults = read_flag(path)

    assert not faults
    flag = documents.flags["2026"].definition
    assert (flag.variants[0].users, flag.segments[0].conditions[0].values) == (("10115",), ("18", "1.50"))
    jsonschema.validate(yaml.safe_load(text), json.loads(json_schema("flag")))


def test_a_rule_about_whom_no_document_has_is_noted(tmp_path: Path):
    directory(tmp_path)
    (tmp_path / "notifications").mkdir()
    (tmp_path / "notifications" / "a.yaml").write_text(
        "key: a\nowner: shop\nwhen: [{ event: run final }]\nabout:\n  keys: [button, buton]\n"
    )

    (note,) = read_documents(tmp_path).notes

    assert str(note).endswith(
        "a.yaml:5: about.keys[1]: no document has the key 'buton', so nothing is told; did you mean 'button'?"
    )
