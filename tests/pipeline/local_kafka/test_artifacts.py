import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.local_kafka import artifacts

REPOSITORY = Path(__file__).parents[3]


class Maven(ThreadingHTTPServer):
    """A Maven repository on this machine that remembers what it was asked for."""

    def __init__(self, root: Path) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(Answer, directory=str(root)))
        self.root = root

    def jar(self, pin: artifacts.Pin) -> Path:
        return self.root.joinpath(*pin.group.split("."), pin.artifact, pin.version, pin.file)


class Answer(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Maven)
        if self.path.endswith(".jar"):
            self.server.asked.append(self.path.rsplit("/", 1)[1])
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maven]:
    """A repository that has every jar, named in jgo's own settings; our cache is empty."""
    jars = [Path(jar) for jar in artifacts.class_path().split(os.pathsep)]
    server = Maven(tmp_path / "maven")
    for pin, jar in zip(artifacts.pins(), jars, strict=True):
        place = server.jar(pin)
        place.parent.mkdir(parents=True)
        place.symlink_to(jar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PEEKPROOF_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()


def assert_complete(class_path: str, cache: Path) -> None:
    jars = [Path(jar) for jar in class_path.strip().split(os.pathsep)]
    assert [hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars] == [pin.sha256 for pin in artifacts.pins()]
    assert {jar.parent.parent for jar in jars} == {cache}


def test_lock_pins_this_kafka_and_its_client() -> None:
    versions = {pin.artifact: pin.version for pin in artifacts.pins()}

    assert versions["kafka_2.13"] == versions["kafka-clients"] == artifacts.KAFKA_VERSION
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"]
    assert len(versions) == len(artifacts.pins()) == 45


def test_damaged_jar_is_refused_and_the_next_attempt_goes_on(
    maven: Maven, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = artifacts.pins()[20]
    place = maven.jar(damaged)
    whole = place.resolve()
    place.unlink()
    place.write_bytes(whole.read_bytes()[:-1])

    with pytest.raises(PeekproofError, match=rf"{damaged.file} has SHA-256 .* pins {damaged.sha256}"):
        artifacts.class_path()
    assert not (tmp_path / "cache" / artifacts.edition()).exists()

    place.unlink()
    place.symlink_to(whole)
    assert_complete(artifacts.class_path(), tmp_path / "cache")
    assert maven.asked.count(damaged.file) == 2
    assert maven.asked.count(artifacts.pins()[0].file) == 1, "what had arrived was kept"
    assert "Downloading Apache Kafka" in capsys.readouterr().err

    maven.asked.clear()
    artifacts.class_path()
    assert maven.asked == []


def test_repository_without_a_jar_is_an_error_with_a_way_out(maven: Maven) -> None:
    missing = artifacts.pins()[-1]
    maven.jar(missing).unlink()

    with pytest.raises(PeekproofError, match=rf"{missing.file} of Apache Kafka could not be downloaded .*HTTPS_PROXY"):
        artifacts.class_path()


def test_two_processes_download_once(maven: Maven, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from pipeline.local_kafka.artifacts import class_path; print(class_path())"]
    processes = [subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    for process in processes:
        assert_complete(process.communicate(timeout=120)[0], tmp_path / "cache")

    assert sorted(maven.asked) == sorted(pin.file for pin in artifacts.pins())
