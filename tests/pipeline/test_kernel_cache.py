"""What numba compiled belongs to the very sources that it was compiled from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import kernel_cache

FILES = {
    "evaluation/sums.py": "import njit\nfrom evaluation import words\nfrom schemas.units import (\n    BITS,\n)\n",
    "evaluation/words.py": "from evaluation.limits import MOST\n",
    "evaluation/limits.py": "MOST = 5\n",
    "evaluation/plain.py": "from evaluation.sums import add\n",
    "schemas/units.py": "BITS = 6\n",
}


@pytest.mark.parametrize("name", FILES)
def test_another_source_of_a_kernel_is_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for file, content in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    monkeypatch.setattr(kernel_cache, "SOURCES", tmp_path)
    before = kernel_cache.directory()

    (tmp_path / name).write_text(FILES[name] + "# changed\n")

    assert (kernel_cache.directory() == before) == (name == "evaluation/plain.py")


def test_numba_uses_the_directory_of_these_sources() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    asked = "import pipeline, numba; print(numba.config.CACHE_DIR)"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=environment)

    assert ran.stdout.strip() == str(kernel_cache.directory())


def test_no_kernel_needs_what_takes_long_to_load() -> None:
    asked = (
        "import sys; from pipeline.kernel_cache import spare_linalg; spare_linalg(); "
        "from pipeline.stages.kernels import compile_kernels; compile_kernels(); print('scipy.linalg' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"
