"""The public package, in a producer's process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import peekproof
from docs.generated import PYTHON
from peekproof import Answer, Flags

CONFIGS = Path(__file__).parents[1] / "configs"
MOST_MEGABYTES = 50
HEAVY = {"numba", "llvmlite", "numpy", "pyarrow", "scipy", "duckdb", "faust", "aiokafka", "kafka", "litestar"}
PRODUCER = """
import json, sys
from pathlib import Path
from peekproof import load_flags
answer = load_flags(sys.argv[1]).evaluate({"user_id": "ann"})["checkout-button"]
status = Path("/proc/self/status")
peak = int(status.read_text().split("VmHWM:")[1].split()[0]) if status.exists() else 0
print(json.dumps([answer.key, peak, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_a_producer_evaluates_flags_without_a_compiler_or_a_client():
    run = [sys.executable, "-c", PRODUCER, str(CONFIGS)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout

    key, peak, modules = json.loads(said)
    assert key in {"control", "treatment"}
    assert not HEAVY.intersection(modules)
    assert peak < 1_024 * MOST_MEGABYTES


def test_its_names_are_those_of_the_documentation():
    assert all(hasattr(peekproof, name) for name in peekproof.__all__)
    assert (
        {*dir(peekproof)}
        == {*peekproof.__all__}
        == {"__version__", *(each for some in PYTHON.values() for each in some)}
    )
    with pytest.raises(AttributeError, match="module 'peekproof' has no attribute 'analyse'"):
        peekproof.analyse  # noqa: B018
    assert isinstance(peekproof.load_flags(CONFIGS), Flags)
    assert isinstance(peekproof.load_flags(CONFIGS).evaluate({"user_id": "ann"})["dark-mode"], Answer)
    assert (Path(peekproof.__file__).parent / "py.typed").exists()
