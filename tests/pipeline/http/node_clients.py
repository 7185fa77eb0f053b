"""Node: clients in JavaScript, installed once into a cache outside the checkout, where Node is."""

import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.local_kafka.artifacts import cache

HERE = Path(__file__).parent / "node"


def is_there() -> bool:
    """Whether there is a Node to run them."""
    return bool(shutil.which("node") and shutil.which("npm"))


def command(script: str) -> list[str]:
    """What runs one of our scripts."""
    place = _installed() / script
    shutil.copy(HERE / script, place)
    return ["node", str(place)]


def ask(script: str, *arguments: str) -> Any:
    """What one of our scripts prints. Skips the test where there is no Node."""
    if not is_there():
        pytest.skip("node and npm are not on the PATH: the clients in JavaScript were not tried")
    told = [*command(script), *arguments]
    ended = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def _installed() -> Path:
    """The directory with the packages of the lock."""
    lock = (HERE / "package-lock.json").read_bytes()
    place = cache() / f"node-{sha256(lock).hexdigest()[:16]}"
    if not place.exists():
        making = place.with_name(f"{place.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, making)
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=making, timeout=240, check=True)
        try:
            making.rename(place)
        except OSError:
            shutil.rmtree(making)  # another was faster
    return place
