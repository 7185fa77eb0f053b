"""What numba compiled belongs to the very sources that it was compiled from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import kernel_cache


def test_another_kernel_source_is_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "sums.py").write_text("@njit\ndef add(a, b): return a + b\n")
    (tmp_path / "evaluation" / "plain.py").write_text("def add(a, b): return a + b\n")
    monkeypatch.setattr(kernel_cache, "SOURCES", tmp_path)
    before = kernel_cache.directory()

    (tmp_path / "evaluation" / "plain.py").write_text("def add(a, b): return a - b\n")
    assert kernel_cache.directory() == before
    (tmp_path / "evaluation" / "sums.py").write_text("@njit\ndef add(a, b): return a - b\n")
    assert kernel_cache.directory() != before


def test_numba_uses_the_directory_of_these_sources() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    asked = "import pipeline, numba; print(numba.config.CACHE_DIR)"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=environment)

    assert ran.stdout.strip() == str(kernel_cache.directory())
