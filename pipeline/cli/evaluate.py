"""`peekproof evaluate`: what flags yield for users, without a server."""

import sys
from pathlib import Path

import click
import msgspec

from pipeline.errors import PeekproofError
from pipeline.flags import load_flags


@click.command()
@click.option(
    "--flags", "source", required=True, help="A JSON array of Amplitude's flags (v2), or a directory of documents."
)
@click.option(
    "--user", "users", required=True, help="One user as JSON, or one per line; a context as {'context': {…}}."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per user, from flag key to answer.")
def evaluate(source: str, users: str, as_json: bool) -> None:
    """What each flag yields for each user, and why. Exit code 2 where a flag cannot be answered.

    Flags of documents count as running, bucketed with their key as salt.
    """
    flags = load_flags(source)
    for problem in flags.problems:
        click.echo(str(problem), err=True)
    try:
        text = Path(users).read_bytes()
    except OSError as error:
        raise PeekproofError(f"'{users}' cannot be read: {error.strerror}") from None
    for user in _objects(text, users):
        context = user.get("context") if len(user) == 1 else None
        answers = flags.evaluate_context(context) if isinstance(context, dict) else flags.evaluate(user)
        if as_json:
            click.echo(msgspec.json.encode(answers).decode())
        else:
            click.echo("\n".join(f"{key}: {each.key} ({each.reason})" for key, each in answers.items()))
    if flags.problems:
        sys.exit(2)


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
