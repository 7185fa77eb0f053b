"""JVM: clients in Java, installed once into a cache outside the checkout, where a JDK and Maven are."""

import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.local_kafka.artifacts import cache

HERE = Path(__file__).parent / "jvm"


def ask(*arguments: str, trusting: Path | None = None) -> Any:
    """What our program prints; `trusting` is a key store of authorities. Skips the test where there is no JDK."""
    if not (shutil.which("javac") and shutil.which("mvn")):
        pytest.skip("a JDK and Maven are not on the PATH: the clients on the JVM were not tried")
    place = _installed()
    settings = ["-XX:TieredStopAtLevel=1"]
    if trusting:
        settings += [f"-Djavax.net.ssl.trustStore={trusting}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    command = ["java", *settings, "-cp", f"{place}:{place}/lib/*", "Clients", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def store(authority: bytes, directory: Path) -> Path:
    """A key store that holds an authority's certificate. Skips the test where there is no JDK."""
    if not shutil.which("keytool"):
        pytest.skip("a JDK is not on the PATH: the clients on the JVM were not tried")
    certificate, stored = directory / "authority.der", directory / "trusted.p12"
    certificate.write_bytes(authority)
    command = ["keytool", "-importcert", "-noprompt", "-alias", "authority", "-file", str(certificate)]
    subprocess.run([*command, "-keystore", str(stored), "-storepass", "changeit"], check=True, capture_output=True)
    return stored


def _installed() -> Path:
    """The directory with the packages and our program."""
    names = ("pom.xml", "Clients.java")
    digest = sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    place = cache() / f"jvm-{digest}"
    if not place.exists():
        making = place.with_name(f"{place.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in names:
            shutil.copy(HERE / name, making)
        maven = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
        for command in (maven, ["javac", "-cp", "lib/*", "Clients.java"]):
            subprocess.run(command, cwd=making, timeout=240, check=True)
        try:
            making.rename(place)
        except OSError:
            shutil.rmtree(making)  # another was faster
    return place
