"""What `make` does before there is anything to run."""

import subprocess
import sys
from pathlib import Path

MAKEFILE = Path(__file__).parents[1] / "Makefile"
OLD = f"""#!/bin/sh
exec {sys.executable} -c 'import sys; sys.version_info = (3, 10); exec(sys.argv[1])' "$2"
"""


def test_an_older_python_is_refused_before_an_environment_is_made_of_it(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text(OLD)
    old.chmod(0o755)
    for prerequisite in ("requirements-installer.lock", "requirements.lock", "pyproject.toml"):
        (tmp_path / prerequisite).touch()

    ended = subprocess.run(
        ["make", f"--file={MAKEFILE}", "setup", f"PYTHON={old}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 2
    assert f"make setup: {old} is no Python 3.11 or later; install one" in ended.stdout
    assert not (tmp_path / ".venv").exists()
