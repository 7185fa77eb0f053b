"""Every example in the documentation is one that the product takes: documents, records, settings, queries, programs.

A block of YAML that is a document says in which file it would stand (`yaml flags/dark-mode.yaml`), and is read with
those of `configs/` and of the other pages; without a name it is a part of one. Links are checked where the pages are
built (`make docs`), commands in the text by `test_named_commands`.
"""

import ast
import importlib
import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import pytest
import yaml

from pipeline.catalog.documents import read_documents
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from pipeline.storage.snapshot import publish
from pipeline.storage.store import Store
from schemas import catalog
from schemas.event import Event
from schemas.exposure import Exposure

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*) *([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"yaml", "json", "toml", "python", "sql", "bash", "text"}
RECORDS = {"exposures": Exposure, "events": Event}
STRUCTS = [part for part in vars(catalog).values() if hasattr(part, "__struct_fields__")]
PARTS = {field for part in STRUCTS for field in part.__struct_fields__}
SETTINGS = {f"PEEKPROOF_{name.upper()}" for name in Settings.__struct_fields__}
OTHERS = {f"PEEKPROOF_{name}" for name in ("SETTINGS", "KEY", "CACHE", "CLIENTS", "MUTANTS", "GRID", "LONG")}
PROGRAMS = {"peekproof", "duckdb", "make", "docker", "pip", "python", "curl", "uv", "export", "mkdir", "chgrp", "chmod"}


class Block(NamedTuple):
    """A block of code: where it stands, its language, what else its first line says, and what is in it."""

    place: str
    language: str
    name: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(f"{page.relative_to(ROOT)}:{line}", found[1], found[2].strip(), found[3])


@cache
def every_block() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def said(language: str) -> list[Block]:
    found = [block for block in every_block() if block.language == language]
    assert found, f"no page has a block of {language}"
    return found


def faults(found: Iterable[Block], fault_of: Callable[[Block], str | None]) -> dict[str, str]:
    return {block.place: fault for block in found if (fault := fault_of(block))}


def test_every_block_says_its_language() -> None:
    directives = {block.place for block in every_block() if block.name.startswith("{")}
    assert {block.place for block in every_block() if block.language not in LANGUAGES} == directives


def test_documents_are_read_by_the_product(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path, dirs_exist_ok=True)
    written: dict[str, Block] = {}
    for block in said("yaml"):
        if block.name.endswith(".yaml"):
            before = written.setdefault(block.name, block)
            assert before.text == block.text, f"{before.place} and {block.place} tell {block.name} differently"
            file = tmp_path / block.name
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)

    assert len(written) > 10
    read_documents(tmp_path)  # or its faults


def test_parts_of_documents_have_fields_that_there_are() -> None:
    assert faults((block for block in said("yaml") if not block.name.endswith(".yaml")), part_fault) == {}


def part_fault(block: Block) -> str | None:
    part = yaml.safe_load(block.text)
    unknown = set(part or ()) - PARTS
    return None if block.name in {"kubernetes", "prometheus"} or not unknown else f"no document has {unknown}"


def test_rules_of_alerts_name_what_the_dashboard_does() -> None:
    """Whose names are those of `/metrics`, by another test."""
    known = re.findall(r"peekproof_\w+", (ROOT / "configs/grafana.json").read_text())
    rules = [block.text for block in said("yaml") if block.name == "prometheus"]
    named = {name for text in rules for name in re.findall(r"peekproof_\w+", text)}
    assert named
    assert named <= set(known)


def test_records_are_what_stages_read() -> None:
    assert faults(said("json"), json_fault) == {}


def json_fault(block: Block) -> str | None:
    try:
        msgspec.json.decode(block.text, type=RECORDS.get(block.name, object))
    except msgspec.DecodeError as error:
        return str(error)
    return None


def test_settings_are_settings() -> None:
    assert faults((block for block in every_block() if block.language == "toml"), toml_fault) == {}
    named = {(place, name) for place, text in texts() for name in re.findall(r"PEEKPROOF_[A-Z_]*[A-Z]", text)}
    assert {(place, name) for place, name in named if name not in SETTINGS | OTHERS} == set()


def toml_fault(block: Block) -> str | None:
    unknown = set(tomllib.loads(block.text)) - set(Settings.__struct_fields__)
    return f"no setting is called {unknown}" if unknown else None


def texts() -> Iterator[tuple[str, str]]:
    return ((str(page.relative_to(ROOT)), page.read_text()) for page in PAGES)


def test_programs_compile_and_import_what_is_there() -> None:
    assert faults(said("python"), python_fault) == {}


def python_fault(block: Block) -> str | None:
    try:
        tree = ast.parse(block.text)
    except SyntaxError as error:
        return str(error)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("pipeline"):
            module = importlib.import_module(node.module)
            if missing := [each.name for each in node.names if not hasattr(module, each.name)]:
                return f"{node.module} has no {missing}"
    return None


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """Of a store that holds nothing."""
    directory = tmp_path_factory.mktemp("snapshot")
    publish(Store(directory / "store"), directory / "peekproof.duckdb", directory / "archive")
    return duckdb.connect(str(directory / "peekproof.duckdb"), read_only=True)


def test_queries_name_tables_and_columns_that_there_are(snapshot: duckdb.DuckDBPyConnection) -> None:
    def sql_fault(block: Block) -> str | None:
        try:
            for statement in snapshot.extract_statements(block.text):
                snapshot.execute(statement)
        except duckdb.Error as error:
            return str(error)
        return None

    lines = [(block, line) for block in said("bash") for line in block.text.splitlines() if line.startswith("duckdb ")]
    typed = [(block, shlex.split(line, comments=True)[-1]) for block, line in lines]
    at_a_shell = [Block(block.place, "sql", "", last) for block, last in typed if " " in last]
    assert faults([*said("sql"), *at_a_shell], sql_fault) == {}


def test_what_is_typed_at_a_shell_can_be_called() -> None:
    assert faults(said("bash"), bash_fault) == {}


def bash_fault(block: Block) -> str | None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in re.sub(r"'[^']*'|\\\n", " ", block.text).splitlines():
        words = [word for word in line.split("#")[0].split() if not re.match(r"[A-Z_]+=", word)]
        if words and words[0] not in PROGRAMS:
            return f"'{words[0]}' is no program that a reader has"
        if words[:1] == ["make"] and words[1:] and words[1] not in targets:
            return f"the Makefile has no {words[1]}"
    return None


def test_the_glossary_has_each_word_once_in_order_and_in_one_sentence() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [word for word, _ in rows]

    assert words == sorted(set(words), key=str.casefold)
    assert {"insert id", "fact", "watermark", "dead letter", "outbox", "allowed lateness", "unit", "cell"} <= set(words)
    assert [word for word, meaning in rows if meaning[-1] != "." or re.search(r"[.?] [A-Z]", meaning)] == []


def test_the_page_of_sizes_computes_with_the_figures_that_it_tells() -> None:
    page = (ROOT / "docs/operate/size.md").read_text()
    spec = importlib.util.spec_from_file_location("sizes", ROOT / "docs/sizes.py")
    sizes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizes)
    record = sizes.ASSIGNING + sizes.AGGREGATING + sizes.KEEPING

    for said in (
        f"| {sizes.IDLE} of a core |",
        f"| {sizes.ALIVE} of a core more |",
        f"| {sizes.EXPERIMENT} of a core more |",
        f"{sizes.ASSIGNING} us in assignment, {sizes.AGGREGATING} us in aggregation, {sizes.KEEPING} us in archive",
        f"| {record:.1f} us of a core |",
        f"| up to {sizes.UNIT} bytes of memory",
        f"up to {sizes.CHECKPOINT} bytes in each of two checkpoints",
        f"| {sizes.PROCESSES} GB of memory |",
        f"| {sizes.SOURCE_LOG} bytes in Kafka, {sizes.UNITS_LOG} more in `units`, {sizes.ARCHIVED} in the archive |",
        f"| {sizes.SOURCE_FIXED // 1_000} KB a second in Kafka, {sizes.UNITS_FIXED // 1_000} more in `units` |",
        f"| {sizes.RESULTS_LOG / 1_000} KB a second in `results`",
        f"{sizes.AGGREGATES_LOG / 1_000} in `aggregates`",
        f"nor more than {sizes.LARGEST_WORKER / 1e9:.0f} GB",
        f"takes more than {sizes.BUSY} of a core",
    ):
        assert said in page


def test_every_page_is_reached_from_the_readme() -> None:
    """The first page has all of them in its contents: Sphinx says so of any that it has not."""
    assert "](docs/index.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("fault_of", "name", "text"),
    [
        (part_fault, "", "wherever: [{ property: country }]"),
        (json_fault, "events", '{"event_type": "buy", "time": "soon"}'),
        (json_fault, "", '{"status": …}'),
        (toml_fault, "", 'horizont = "1h"'),
        (python_fault, "", "from peekproof import load_flag"),
        (python_fault, "", "flags = ("),
        (bash_fault, "", "make dmo"),
        (bash_fault, "", "peekprof up"),
    ],
)
def test_what_is_wrong_is_noticed(fault_of: Callable[[Block], str | None], name: str, text: str) -> None:
    assert fault_of(Block("here", "", name, text))


def test_a_document_with_a_fault_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags/a.yaml").write_text("key: a\nowner: me\nvariant: [{ key: on }]\n")
    with pytest.raises(PeekproofError, match="variant"):
        read_documents(tmp_path)
