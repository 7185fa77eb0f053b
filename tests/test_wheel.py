"""The package as it is installed elsewhere, without the checkout."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
OF_FLAGS = ("msgspec", "mmh3", "pyyaml", "google-re2")  # what a producer is told to install beside the wheel
FOUND = """
import peekproof
from pipeline.demo import session
from pipeline.catalog.documents import read_documents
flags = read_documents(session.EXAMPLES).flags
print(peekproof.__file__, session.__file__, sep="\\n")
print(*sorted(key for key in flags if session.TAG in flags[key].definition.tags), sep="\\n")
"""
EVALUATED = """
import importlib.util, sys
from peekproof import __version__, load_flags
print(__version__, load_flags(sys.argv[1]).evaluate({"user_id": "ann", "country": "AT"})["checkout-button"].key)
print([name for name in ("numpy", "numba", "pyarrow", "faust", "kafka", "click") if importlib.util.find_spec(name)])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel holds."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={directory}"]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
        archive.extractall(directory / "installed")
    return directory / "installed"


def test_an_installed_demo_has_its_examples(installed: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-c", FOUND]
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    public, session, *keys = found.stdout.splitlines()
    assert Path(session).is_relative_to(installed)
    assert Path(public).is_relative_to(installed)
    assert (Path(public).parent / "py.typed").exists()
    assert keys == ["checkout-button", "dark-mode", "new-player", "ranking-aa", "voucher-hint"]


def test_a_producer_evaluates_flags_with_four_packages_beside_the_wheel(installed: Path, tmp_path: Path) -> None:
    (beside := tmp_path / "packages").mkdir()
    for name in OF_FLAGS:
        distribution = metadata.distribution(name)
        assert all("extra ==" in needed for needed in distribution.requires or ())
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (beside / top).symlink_to(Path(str(distribution.locate_file(top))))

    run = [sys.executable, "-S", "-c", EVALUATED, str(REPOSITORY / "configs")]  # without site-packages
    environment = {"PYTHONPATH": f"{installed}:{beside}", "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    version, key, *others = said.split()
    assert version == metadata.version("peekproof")
    assert key in ("control", "treatment")
    assert others == ["[]"]
    texts = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
    assert any(f"pip install --no-deps peekproof {' '.join(OF_FLAGS)}" in text.read_text() for text in texts)
