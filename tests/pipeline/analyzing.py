"""`peekproof analyze` called as people call it."""

import json
from typing import Any

from click.testing import CliRunner, Result

from pipeline.cli import command


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["analyze", *map(str, arguments)], catch_exceptions=False)


def told(*arguments: object) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
