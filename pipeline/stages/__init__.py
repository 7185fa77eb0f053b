"""Stages: the steps of the pipeline, in the order data flows. Each runs in worker processes of its own."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.stages.stage import Stage

STAGES = {  # name: where its class is; imported by its own workers only
    "assignment": "pipeline.stages.assignment:Assignment",
    "aggregation": "pipeline.stages.aggregation:Aggregation",
    "significance": "pipeline.stages.significance:Significance",
    "storage": "pipeline.stages.storage:Storage",
    "archive": "pipeline.stages.archive:Archiving",
}


def stage_class(name: str) -> "type[Stage]":
    """The class of a stage."""
    module, kind = STAGES[name].split(":")
    return getattr(importlib.import_module(module), kind)
