"""`peekproof evaluate`: what flags yield for users, without a server."""

import sys
from pathlib import Path

import click
import msgspec

from evaluation.catalog.exact_json import JsonError, read_json
from pipeline.catalog.folders import is_yaml
from pipeline.cli.terminal import harmless
from pipeline.errors import PeekproofError
from pipeline.flags import cohorts_asked, load_flags, read_text


@click.command()
@click.option(
    "--flags",
    "source",
    required=True,
    help="A JSON array of Amplitude's flags (v2), a directory of documents, or one of a flag.",
)
@click.option(
    "--user",
    "users",
    required=True,
    help="A file: one user as JSON, or one per line; a context as {'context': {…}}. Or the JSON itself.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per user, from flag key to answer.")
def evaluate(source: str, users: str, as_json: bool) -> None:
    """What each flag yields for each user, and why. Exit code 2 where a flag cannot be answered.

    Flags of documents count as running, bucketed with their key as salt.

    With --json an answer has a `reason` (why the user has it) and a `basis` (what chose it): `everybody` (the flag has
    one answer only), `the rest` (no segment matched, and all those have one answer), `condition` (a segment's), or
    `hash` (the unit's own bucket).
    """
    flags = load_flags(source)
    for problem in flags.problems:
        click.echo(str(problem), err=True)
    is_text = users.lstrip().startswith("{")
    text = users if is_text else read_text(Path(users))
    are_documents = Path(source).is_dir() or is_yaml(Path(source))
    asked = {} if are_documents else cohorts_asked(flags)
    if not are_documents:
        _tell_lost(Path(source))
    every = _objects(text.encode(), "--user" if is_text else users)
    for number, user in enumerate(every, 1):
        context = user.get("context") if len(user) == 1 else None
        if asked and not _says_cohorts(context if isinstance(context, dict) else user):
            _tell_cohorts(asked)
            asked = {}
        answers = flags.evaluate_context(context) if isinstance(context, dict) else flags.evaluate(user)
        if as_json:
            click.echo(msgspec.json.encode(answers).decode())
        else:
            named = f"{_name_of(context if isinstance(context, dict) else user, number)}: " if len(every) > 1 else ""
            click.echo("\n".join(f"{named}{key}: {each.key} ({each.reason})" for key, each in answers.items()))
    if flags.problems:
        sys.exit(2)


def _name_of(user: dict[str, object], number: int) -> str:
    """What a user, or a context, is called by, else which of them it is."""
    within = user.get("user")
    known: dict[str, object] = {**user, **(within if isinstance(within, dict) else {})}
    ids = (known[name] for name in ("user_id", "device_id") if known.get(name) not in (None, ""))
    return harmless(str(next(ids, f"user {number}")))


def _says_cohorts(user: dict[str, object]) -> bool:
    """Whether a user, or a context, brings the cohorts that it belongs to."""
    return b'cohort_ids":' in msgspec.json.encode(user)


def _tell_lost(source: Path) -> None:
    """What of configurations nobody reads as it is written: SDKs take them all the same, and so are they answered."""
    try:
        read_json(read_text(source).encode())
    except JsonError as error:
        for fault in str(error).splitlines():
            click.echo(f"'{source}': note: {harmless(fault)}", err=True)


def _tell_cohorts(asked: dict[str, list[str]]) -> None:
    for key, cohorts in asked.items():
        click.echo(
            f"flag '{key}': asks whether users are in {', '.join(cohorts)}, which a configuration does not say; nobody "
            f'is, unless the user says so: "cohort_ids": ["{cohorts[0]}"]',
            err=True,
        )


def _objects(text: bytes, name: str) -> list[dict[str, object]]:
    """One object, or one per line."""
    try:
        return [msgspec.json.decode(text, type=dict[str, object])]
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return [msgspec.json.decode(line, type=dict[str, object]) for line in text.splitlines() if line.strip()]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PeekproofError(f"'{name}': {error}; write one user as a JSON object a line") from None
