"""Loaded: what workers and the server need, in the process that they are forked from."""

import gc

from setproctitle import setproctitle

from pipeline.http import serving  # noqa: F401
from pipeline.kernel_cache import spare_linalg, tell_when_slow
from pipeline.processes.kernels import compile_kernels
from pipeline.processes.template import end_with_parent
from pipeline.stages import STAGES, stage_class
from pipeline.stages.worker import run_worker  # noqa: F401

setproctitle("peekproof-template")
spare_linalg()
tell_when_slow()
for stage in STAGES:
    stage_class(stage)
compile_kernels()
gc.collect()
end_with_parent(0)  # from now on it hears how that one ends, whichever thread has waited for it
gc.freeze()  # what is never collected is never written to, and stays shared
