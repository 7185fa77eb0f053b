"""Artifacts: the jars that Apache Kafka is made of, pinned by content, in a cache outside the checkout.

`artifacts.lock` lists each jar with its SHA-256. jgo fetches them from the Maven repositories that its own settings
name (Maven Central, unless `~/.config/jgo.conf` says otherwise). A jar enters the cache only when its bytes are the
pinned ones, and the set appears under its name only when it is whole: an interrupted download is continued, never used.

`python -m pipeline.local_kafka.artifacts > pipeline/local_kafka/artifacts.lock` resolves `KAFKA_VERSION` anew.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import PeekproofError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.4.0"
LOCK = Path(__file__).with_name("artifacts.lock")

_DOWNLOADS = 4  # at once


class Pin(NamedTuple):
    """One jar: its Maven coordinates and the SHA-256 of its bytes, in hexadecimal."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The jar's file name."""
        return f"{self.artifact}-{self.version}.jar"


def pins() -> tuple[Pin, ...]:
    """The jars that the lock file names."""
    lines = (line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(Pin._make((*coordinates.split(":"), sha256)) for coordinates, sha256 in lines)


def cache() -> Path:
    """Where downloads are kept: `PEEKPROOF_CACHE`, else `peekproof` in the user's cache directory."""
    if chosen := os.environ.get("PEEKPROOF_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "peekproof"


def edition() -> str:
    """A name for exactly these jars."""
    return f"kafka-{KAFKA_VERSION}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"


def class_path() -> str:
    """The class path of a Kafka broker, downloaded on first use. Safe for several processes at once.

    Raises PeekproofError when a jar cannot be had or has other bytes than the pinned ones.
    """
    wanted = pins()
    complete = cache() / edition()
    if not complete.exists():
        try:
            complete.parent.mkdir(parents=True, exist_ok=True)
            with alone(complete.with_name(f"{complete.name}.lock")):
                if not complete.exists():
                    partial = complete.with_name(f"{complete.name}.partial")
                    _download(wanted, partial)
                    partial.rename(complete)
        except OSError as error:
            raise PeekproofError(
                f"{complete.parent} cannot keep Apache Kafka's jars ({error}); "
                "set PEEKPROOF_CACHE to a directory that can be written and has 150 MB free"
            ) from error
    return os.pathsep.join(str(complete / pin.file) for pin in wanted)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock that is the file `path`: one process at a time has it, and it goes with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(wanted: tuple[Pin, ...], partial: Path) -> None:
    """Brings every jar into `partial`; those that an earlier attempt brought are kept."""
    unverified = partial / "unverified"
    shutil.rmtree(unverified, ignore_errors=True)
    unverified.mkdir(parents=True)
    missing = [pin for pin in wanted if not (partial / pin.file).exists()]
    maven = _maven(unverified)

    def fetch(pin: Pin) -> None:
        artifact = maven.project(pin.group, pin.artifact).at_version(pin.version).artifact()
        try:
            jar = artifact.resolve()
        except Exception as error:  # jgo and requests raise many kinds
            raise PeekproofError(
                f"{pin.file} of Apache Kafka could not be downloaded ({_first_line(error)}); check the network, "
                "a proxy (HTTPS_PROXY) or the repositories in ~/.config/jgo.conf and try again: what has arrived is "
                "kept. "
                "Or use a Kafka of your own: set PEEKPROOF_BOOTSTRAP_SERVERS"
            ) from error
        if (found := _sha256(jar)) != pin.sha256:
            raise PeekproofError(
                f"{pin.file} has SHA-256 {found}, but {LOCK.name} pins {pin.sha256}: it is damaged or another "
                "file; try again, and if it stays so check the repositories in ~/.config/jgo.conf"
            )
        jar.replace(partial / pin.file)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        try:
            for _ in _progress(pool.map(fetch, missing), len(missing)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    shutil.rmtree(unverified)


def _progress(done: Iterable[None], total: int) -> Iterator[None]:
    """Passes `done` on, showing on standard error how far it is: a bar on a terminal, plain lines elsewhere."""
    from rich.console import Console  # noqa: PLC0415 (only the first start needs it)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    title = f"Downloading Apache Kafka {KAFKA_VERSION} (once, 43 MB)"
    console = Console(stderr=True)
    if not console.is_terminal:
        print(title, file=sys.stderr, flush=True)
        for count, item in enumerate(done, 1):
            if count % 15 == 0 or count == total:
                print(f"  {count} of {total} files", file=sys.stderr, flush=True)
            yield item
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    with Progress(*columns, console=console) as progress:
        yield from progress.track(done, total=total, description=title)


def _maven(repository: Path) -> "MavenContext":
    """jgo with its own settings' repositories, and `repository` for what it downloads."""
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 (an extra)
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise PeekproofError(f"no {error.name}: a broker of our own needs `pip install 'peekproof[broker]'`") from error
    maven = MavenContext(repo_cache=repository, timeout=30)
    maven.remote_repos.update(GlobalSettings.load().repositories)
    return maven


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _resolve(repository: Path) -> Iterator[Pin]:
    """What Kafka needs at run time by its own descriptors, and the bridge from its log interface to log4j."""
    maven = _maven(repository)
    kafka = maven.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
    # Alone: jgo reads the versions that any second component manages too, and log4j's name kafka-clients 3.9.
    inputs, transitive = maven.resolver.resolve([kafka])
    found: list[Any] = [dependency.artifact for dependency in inputs + transitive]
    log4j = next(artifact for artifact in found if artifact.artifactId == "log4j-core")
    found.append(maven.project(log4j.groupId, "log4j-slf4j-impl").at_version(log4j.version).artifact())
    for artifact in found:
        yield Pin(artifact.groupId, artifact.artifactId, artifact.version, _sha256(artifact.resolve()))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        print(
            f"# Apache Kafka {KAFKA_VERSION}: `python -m pipeline.local_kafka.artifacts > "
            "pipeline/local_kafka/artifacts.lock` renews this"
        )
        for found in sorted(_resolve(Path(directory))):
            print(f"{found.group}:{found.artifact}:{found.version} {found.sha256}")
