"""Environments: the peers want other versions of what we use, so each has a Python of its own, made the first time."""

import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
ROOT = Path("build/peers")


def python_of(name: str) -> Path:
    """The Python of an environment with what `peers/NAME.lock` lists."""
    python = ROOT / name / "bin" / "python"
    ready = ROOT / name / ".ready"
    if not ready.exists():
        print(f"  making the environment of {name} …", file=sys.stderr, flush=True)
        venv.create(ROOT / name, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "-r", PEERS / f"{name}.lock"], check=True)
        ready.touch()
    return python
