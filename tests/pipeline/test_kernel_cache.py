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


def test_what_compiles_says_so_once_although_another_installation_has_compiled(tmp_path: Path) -> None:
    (tmp_path / "elsewhere_1f").mkdir()
    (tmp_path / "elsewhere_1f" / "sums.total-28.py311.nbi").touch()
    asked = (
        "from pipeline import kernel_cache; kernel_cache.tell_when_slow(); "
        "from evaluation.columns.hashing import text_hashes; from evaluation.columns.texts import Texts, as_bytes; "
        "import numpy as np; one = np.zeros(1, np.int64); text_hashes(Texts(as_bytes(b'a'), one, one + 1))"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, loaded = (
        subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=environment)
        for _ in range(2)
    )

    assert (compiled.stdout, compiled.stderr) == ("", f"{kernel_cache.COMPILING}\n")
    assert (loaded.stdout, loaded.stderr) == ("", "")


def test_the_process_that_workers_are_forked_from_says_that_it_compiles(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    asked = [sys.executable, "-c", "import pipeline.processes.loaded"]
    with subprocess.Popen(asked, stderr=subprocess.PIPE, text=True, env=environment) as template:
        assert template.stderr is not None
        said = template.stderr.readline()
        template.kill()  # the rest takes minutes

    assert said == f"{kernel_cache.COMPILING}\n"
