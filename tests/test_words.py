"""One word, one thing: a class has its name alone, a constant one meaning, and no former word comes back."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "evaluation", "pipeline", "peekproof")

# Identifiers by which something went that the glossary calls otherwise; names on the wire stay as they are.
FORMER = {
    "letter": "dead letter",
    "letters": "dead letter",
    "posts": "outbox",
    "fact_key": "fact",
    "event_id": "insert id",
}
# Constants of which each once stood for several things.
ALONE = ("LARGEST", "MOST", "NOTHING", "TOLD", "SECONDS", "UNIT", "LATE", "VALUES", "Floats", "Mask", "DAY_MS")


@cache
def modules() -> list[tuple[str, ast.Module]]:
    """Every module of the product."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())) for file in files]


def identifiers(tree: ast.Module) -> Iterator[str]:
    """What a module calls its variables, arguments and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name


def test_a_class_has_its_name_alone() -> None:
    places = defaultdict(list)
    for module, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", ALONE)
def test_a_constant_means_one_thing(name: str) -> None:
    places = [
        module
        for module, tree in modules()
        for statement in tree.body
        if isinstance(statement, ast.Assign) and name in map(ast.unparse, ast.walk(ast.Tuple(statement.targets)))
    ]

    assert len(places) <= 1, places


def test_former_words_do_not_come_back() -> None:
    found = {(module, name, FORMER[name]) for module, tree in modules() for name in identifiers(tree) if name in FORMER}

    assert found == set()
