"""The command line, called as a person calls it."""

import json

from click.testing import CliRunner, Result

from pipeline.cli import command
from pipeline.settings import Settings


def call(settings: Settings, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments, env=settings.environment(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]
