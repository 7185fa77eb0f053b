"""Kernel cache: where numba keeps what it compiled, a directory for each state of the sources.

numba looks only at the file of the function that it loads, not at the functions and constants that were compiled into
it from other files. After a change to one of those it would go on running the old code, and give wrong sums. So the
directory belongs to the files that compile, and to all that these import, and those again.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

SOURCES = Path(__file__).parents[1]
PACKAGES = ("evaluation", "pipeline", "schemas")
COMPILING = "compiling kernels, once for these sources: a minute, or several where much else goes on"
IMPORT = re.compile(rb"^(?:from|import) ([\w.]+)(?: import (\([^)]*\)|.*))?", re.MULTILINE)


def directory() -> Path:
    """The directory that belongs to these very sources."""
    files = [file for package in PACKAGES for file in (SOURCES / package).rglob("*.py")]
    sources = {file.relative_to(SOURCES).as_posix(): file.read_bytes() for file in files}
    compiled: set[str] = set()
    found = {name for name, content in sources.items() if b"njit" in content}
    while found:
        compiled |= found
        found = {imported for name in found for imported in _imports(sources[name])} & sources.keys() - compiled
    digest = hashlib.sha256()
    for name in sorted(compiled):
        digest.update(f"{name}\0{len(sources[name])}\0".encode() + sources[name])
    base = Path(os.environ.get("PEEKPROOF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "peekproof")
    return base.expanduser().absolute() / "kernels" / digest.hexdigest()[:16]


def _imports(source: bytes) -> Iterator[str]:
    """Where the modules may stand that a source imports when it is loaded."""
    for module, names in IMPORT.findall(source):
        for place in (module, *(module + b"/" + name for name in re.findall(rb"\w+", names))):
            path = place.decode().replace(".", "/")
            yield from (f"{path}.py", f"{path}/__init__.py")


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


@cache
def tell_when_slow() -> None:
    """Say so on standard error when the first kernel is compiled, instead of loaded; once in a process."""
    from numba.core import event  # noqa: PLC0415 (slow to import)

    class Compiling(event.Listener):  # type: ignore[misc]  # numba has no types
        is_told = False

        def on_start(self, _: object) -> None:
            if not self.is_told:
                self.is_told = True
                print(COMPILING, file=sys.stderr, flush=True)

        def on_end(self, _: object) -> None:
            pass

    event.register("numba:compile", Compiling())  # type: ignore[no-untyped-call]


def spare_linalg() -> None:
    """Let numba load kernels without scipy.linalg, which takes a sixth of a worker's start: none multiplies matrices.

    To be called before the first kernel is.
    """
    from numba.np import linalg  # noqa: PLC0415 (slow to import)

    linalg.ensure_blas = _none


def _none() -> NoReturn:
    raise ImportError("no kernel multiplies matrices")
