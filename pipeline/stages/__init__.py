"""Stages: the steps of the pipeline, in the order data flows. Each runs in worker processes of its own."""

STAGES = {  # name: where its class is; imported by its own workers only
    "assignment": "pipeline.stages.assignment:Assignment",
    "aggregation": "pipeline.stages.aggregation:Aggregation",
    "significance": "pipeline.stages.significance:Significance",
    "storage": "pipeline.stages.storage:Storage",
    "archive": "pipeline.stages.archive:Archiving",
}
