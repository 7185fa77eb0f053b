"""Lists of ids as people have them: every member is read, or the line is named."""

from pathlib import Path

import pytest

from evaluation.catalog.answerable import answer_violations
from pipeline.catalog.documents import read_documents
from pipeline.catalog.faults import DocumentError
from schemas.catalog import Cohort, Exempt, Flag, Group, GroupSlot, Variant

COHORT = "key: testers\nowner: shop\nfile: {}\n"


def ids(tmp_path: Path, name: str, text: str | bytes, more: str = "") -> tuple[str, ...]:
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "a.yaml").write_text(COHORT.format(name) + more)
    (tmp_path / "cohorts" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_documents(tmp_path).cohorts["testers"].definition.ids


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "u1\nu2\n"),
        ("a.txt", "\ufeffu1\r\n\r\n  u2\u200b \r\nu1"),
        ("a.txt", "u1\ru2\r"),
        ("a.txt", "user_id\nu1\nu2\n"),
        ("a.txt", "user_id,email\nu1,a@b\nu2,c@d\n"),
        ("a.csv", "user_id\nu1\nu2\n"),
        ("a.CSV", '"user_id"\n"u1"\n"u2"\n'),
        ("a.csv", '"u1"\n"u2"\n'),
        ("a.csv", "\ufeff;User ID;plan\r\n0;u1;pro\r\n1;u2;free\r\n"),
        ("a.tsv", "email\tid\na@b\tu1\nc@d\tu2\n"),
        ("a.json", '[\n "u1",\n "u\\u0032"\n]'),
        ("a.txt", '["u1", "u2"]\n'),
    ],
)
def test_f09_a_list_is_read_as_people_have_it(tmp_path: Path, name: str, text: str):
    assert ids(tmp_path, name, text) == ("u1", "u2")


def test_f09_ids_keep_what_is_theirs(tmp_path: Path):
    text = 'company\n"Acme, Inc."\n"The ""Shop"""\n0123\nAcme Inc\nنمی\u200cدانم\n'

    found = ids(tmp_path, "a.csv", text, "unit: groups.company\n")

    assert found == ("Acme, Inc.", 'The "Shop"', "0123", "Acme Inc", "نمی\u200cدانم")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.txt", "u1\nu1 # Ann\n", "a.txt:2: 'u1 # Ann' looks like a comment"),
        ("a.txt", "# testers\nu1", "a.txt:1: '# testers' looks like a comment"),
        (
            "a.txt",
            "u1, u2\n",
            "a.txt:1: 'u1, u2' looks like several values; write one id a line, or, of ids that hold ',",
        ),
        ("a.txt", "\n'u1'\n", "a.txt:2: ''u1'' looks like a part of another kind of file"),
        ("a.txt", "- u1\n", "a.txt:1: '- u1' looks like a part of another kind of file"),
        ("a.txt", '{"user_id": "u1"}\n', 'a.txt:1: \'{"user_id": "u1"}\' looks like a part of another kind of file'),
        ("a.txt", "u\u200b1\n", r"a.txt:1: 'u\u200b1' holds U+200B, which nobody sees"),
        ("a.txt", "Acme\u00a0Inc\n", r"a.txt:1: 'Acme\xa0Inc' holds U+00A0"),
        ("a.txt", "u1\n" + "x" * 1_025, "a.txt:2: 'xxx"),
        ("a.csv", "name,email\nAnn,a@b\n", "a.csv:1: none of the 2 columns is called user_id; call the one that holds"),
        ("a.csv", "user_id\nAcme, Inc.\n", "a.csv:2: has 2 values, and the first line 1"),
        ("a.csv", "user_id,plan\n,pro\n", "a.csv:2: '' is blank"),
        ("a.csv", 'user_id\n"u1\n', "a.csv:3: is no line of a table"),
        ("a.csv", "user_id\n12345.0\n", "a.csv:2: '12345.0' looks like an id that a program took for a number"),
        ("a.txt", "1.23457E+13\n", "a.txt:1: '1.23457E+13' looks like an id that a program took for a number"),
        ("a.json", '{"ids": ["u1"]}', "a.json:1: is no JSON array of ids"),
        ("a.json", '["u1",\n 4.20]', "a.json:2: 4.20 is no id; write it in quotes"),
        ("a.txt", "user_id\n".encode("utf-16"), "a.txt' cannot be read: byte 0 is not UTF-8"),
    ],
)
def test_f09_what_may_be_read_as_something_else_is_a_fault_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, fault: str
):
    with pytest.raises(DocumentError) as error:
        ids(tmp_path, name, text)

    assert str(error.value).startswith(f"{tmp_path}/cohorts/a.yaml:3: file: ")
    assert fault in str(error.value)


def test_f09_many_faults_of_a_list_are_counted(tmp_path: Path):
    with pytest.raises(DocumentError) as error:
        ids(tmp_path, "a.txt", "".join(f"u{i} # x\n" for i in range(100)))

    assert len(error.value.faults) == 11
    assert "and 90 more lines of" in str(error.value)


def test_f09_ids_that_nobody_would_find_are_refused_wherever_they_are_listed():
    listed = ("u1", "u2 ", "u\u200b3")
    variants = (Variant(key="on", users=listed, devices=listed),)
    group = Group(
        key="held",
        owner="o",
        type="holdout",
        slots=(GroupSlot(percentage=5, users=listed),),
        exempt=Exempt(devices=listed),
    )

    def paths(definition: Flag | Group | Cohort) -> list[str]:
        return [str(each).partition(": ")[0] for each in answer_violations(definition)]

    assert paths(Flag(key="f", owner="o", variants=variants)) == [
        f"variants[0].{name}[{index}]" for name in ("users", "devices") for index in (1, 2)
    ]
    assert paths(group) == ["slots[0].users[1]", "slots[0].users[2]", "exempt.devices[1]", "exempt.devices[2]"]
    assert paths(Cohort(key="c", owner="o", ids=listed)) == ["ids[1]", "ids[2]"]
