"""Stages: the steps of the pipeline, in the order data flows. Each runs in worker processes of its own."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.stages.stage import Stage

STAGES = {  # name: where its class is; imported by its own workers only
    "assignment": "pipeline.stages.assignment:AssignmentStage",
    "identity": "pipeline.stages.identity:IdentityStage",
    "aggregation": "pipeline.stages.aggregation:AggregationStage",
    "significance": "pipeline.stages.significance:SignificanceStage",
    "storage": "pipeline.stages.storage:StorageStage",
    "archive": "pipeline.stages.archive:ArchiveStage",
    "plans": "pipeline.stages.plans:PlansStage",
    "notifications": "pipeline.stages.notifications:NotificationsStage",
}


def stage_class(name: str) -> "type[Stage]":
    """The class of a stage."""
    module, kind = STAGES[name].split(":")
    return getattr(importlib.import_module(module), kind)
