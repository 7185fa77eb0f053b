"""Kernels: those of every process, compiled ahead.

    python -m pipeline.processes.kernels

numba keeps what it compiled (see pipeline.kernel_cache), and the processes load it.
"""

import time

from pipeline.exploring import kernels as exploring
from pipeline.http.evaluate import sticky
from pipeline.stages import kernels


def compile_kernels() -> None:
    """Run every kernel once, of the stages, of the server and of questions."""
    kernels.compile_kernels()
    exploring.compile_kernels()
    sticky.compile_kernels()


if __name__ == "__main__":
    began = time.monotonic()
    compile_kernels()
    print(f"kernels are compiled ({time.monotonic() - began:.0f} s)")
