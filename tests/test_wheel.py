"""The package as it is installed elsewhere, without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FOUND = """
import peekproof
from pipeline.demo import session
from pipeline.catalog.documents import read_documents
flags = read_documents(session.EXAMPLES).flags
print(peekproof.__file__, session.__file__, sep="\\n")
print(*sorted(key for key in flags if session.TAG in flags[key].definition.tags), sep="\\n")
"""


def test_an_installed_demo_has_its_examples(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={tmp_path}"]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
        archive.extractall(tmp_path / "installed")

    run = [sys.executable, "-c", FOUND]
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    public, session, *keys = found.stdout.splitlines()
    assert Path(session).is_relative_to(tmp_path)
    assert Path(public).is_relative_to(tmp_path)
    assert (Path(public).parent / "py.typed").exists()
    assert keys == ["checkout-button", "dark-mode", "new-player", "ranking-aa", "voucher-hint"]
