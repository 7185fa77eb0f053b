"""Loaded: what workers and the server need, in the process that they are forked from."""

import gc
from importlib import import_module

from setproctitle import setproctitle

from pipeline.http import serving  # noqa: F401
from pipeline.kafka.columnar.app import create_app
from pipeline.kernel_cache import spare_linalg, tell_when_slow
from pipeline.processes.kernels import compile_kernels
from pipeline.processes.template import end_with_parent
from pipeline.stages import STAGES, stage_class
from pipeline.stages.worker import run_worker  # noqa: F401

# What each process would load for itself, late.
LOADED_LATE = ("faust.assignor.partition_assignor", "kafka.admin", "litestar.plugins.pydantic", "lz4.frame")

setproctitle("peekproof-template")
spare_linalg()
tell_when_slow()
for stage in STAGES:
    stage_class(stage)
for module in LOADED_LATE:
    import_module(module)
_ = create_app("template", "127.0.0.1:1").topics  # for its first app Faust loads and looks for much; it is not run
compile_kernels()
gc.collect()
end_with_parent(0)  # from now on it hears how that one ends, whichever thread has waited for it
gc.freeze()  # what is never collected is never written to, and stays shared
