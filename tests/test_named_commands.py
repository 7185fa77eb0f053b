"""Every command that a text of the product names is one that there is, with its subcommands, options and choices."""

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipeline.cli import command

# Named before they are there: whoever brings one takes its line out.
PENDING: tuple[str, ...] = ()

ROOT = Path(__file__).parents[1]
PLACES = ("evaluation", "pipeline", "schemas", "configs", "docs", "examples")
TEXTS = (".md", ".toml", ".yaml", ".yml", ".js", ".html", ".json", ".ipynb")
NAMED = re.compile(r"`peekproof ([^`]+)`|docker compose run --rm cli ([^`\n#]+)")
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
CALLED = re.compile(r"(?:^|&& )\s*(?:PEEKPROOF_\w+=\S+ )*peekproof ([^#\n&]+)", re.MULTILINE)
PLACEHOLDER = re.compile(r"[A-Z_]+…?|<.*>|.*\{.*\}.*|…")


def test_every_command_that_is_named_is_there() -> None:
    said = [(place, each) for place, text in texts() for each in commands(text, place.endswith(".md"))]
    wrong = {(place, each): found for place, each in said if (found := complaint(each)) and not is_pending(each)}

    assert wrong == {}
    places = {place for place, _ in said}
    assert {"README.md", "configs/peekproof.toml", "pipeline/kafka/logs.py", "pipeline/http/console/api.js"} <= places


def test_what_is_no_command_any_more_or_not_yet_is_noticed() -> None:
    assert complaint("recover rebuild --json") is None
    assert complaint("worker assignment") is None
    assert complaint("key list | revoke ID") is None
    assert complaint("recover mend") == "peekproof recover has no mend"
    assert complaint("recover rebuild --fast") == "peekproof recover rebuild has no --fast"
    assert complaint("worker storeage") == "peekproof worker takes no storeage"
    assert complaint("key list | forget ID") == "peekproof key has no forget"


@pytest.mark.parametrize("pending", PENDING)
def test_a_command_that_is_there_is_pending_no_more(pending: str) -> None:
    assert complaint(pending), f"`peekproof {pending}` is there: take it out of PENDING"


def texts() -> Iterator[tuple[str, str]]:
    """Every text and where it stands: of Python each string, as it is put together, and each comment."""
    files = [file for place in PLACES for file in (ROOT / place).rglob("*")]
    for file in sorted([*files, *ROOT.glob("*.md"), *ROOT.glob("*.yml"), ROOT / "Dockerfile"]):
        name = file.relative_to(ROOT).as_posix()
        if file.suffix == ".py":
            yield from ((name, text) for text in strings(file.read_text()))
        elif file.suffix in TEXTS or file.name == "Dockerfile":
            yield name, file.read_text()


def strings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr(values=values):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def commands(text: str, is_markdown: bool) -> Iterator[str]:
    """What stands behind `peekproof` in a text; of Markdown also in its blocks of code."""
    for found in NAMED.finditer(text):
        yield " ".join((found[1] or found[2]).split())
    for block in FENCED.finditer(text) if is_markdown else ():
        for called in CALLED.finditer(block[1]):
            yield called[1].strip()


def is_pending(said: str) -> bool:
    return any(said == pending or said.startswith(f"{pending} ") for pending in PENDING)


def complaint(said: str) -> str | None:
    """What of a command is not there. `a | b` are two ways to end it."""
    path: list[click.Command] = [command]
    for way in said.split("|"):
        tokens = shlex.split(re.sub(r"[\[\]]", "", way))
        if path[1:] and tokens and isinstance(path[-2], click.Group) and not is_choice(path[-1], tokens[0]):
            path.pop()
        while tokens:
            token, at = tokens.pop(0), path[-1]
            name = " ".join(["peekproof", *(str(each.name) for each in path[1:])])
            if token.startswith("--"):
                option = next((each for each in at.params if token.split("=")[0] in each.opts), None)
                if option is None and token != "--help":
                    return f"{name} has no {token}"
                if isinstance(option, click.Option) and not option.is_flag and "=" not in token:
                    del tokens[:1]
            elif PLACEHOLDER.fullmatch(token):
                if isinstance(at, click.Group):
                    return None
            elif isinstance(at, click.Group):
                found = at.get_command(click.Context(at), token)
                if found is None:
                    return f"{name} has no {token}"
                path.append(found)
            elif choices(at) and not is_choice(at, token):
                return f"{name} takes no {token}"
    return None


def choices(of: click.Command) -> list[str]:
    """What an argument may be, where there are choices."""
    arguments = [each for each in of.params if isinstance(each, click.Argument)]
    return [str(choice) for each in arguments if isinstance(each.type, click.Choice) for choice in each.type.choices]


def is_choice(of: click.Command, token: str) -> bool:
    return token in choices(of)
