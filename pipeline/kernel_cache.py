"""Kernel cache: where numba keeps what it compiled, a directory for each state of the sources.

numba looks only at the file of the function that it loads, not at the functions that were compiled into it from other
files. After a change to one of those it would go on running the old code, and give wrong sums.
"""

import hashlib
import os
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[1]
PACKAGES = ("evaluation", "pipeline", "schemas")


def directory() -> Path:
    """The directory that belongs to these very sources."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((SOURCES / package).rglob("*.py")):
            content = file.read_bytes()
            if b"njit" in content:
                digest.update(f"{file.relative_to(SOURCES)}\0{len(content)}\0".encode() + content)
    base = Path(os.environ.get("PEEKPROOF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "peekproof")
    return base.expanduser().absolute() / "kernels" / digest.hexdigest()[:16]


def choose() -> None:
    """Tell numba, unless the environment does already; where that cannot be made, numba finds another place."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    chosen = directory()
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ["NUMBA_CACHE_DIR"] = str(chosen)
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()
