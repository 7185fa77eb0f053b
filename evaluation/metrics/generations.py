"""Generations: which rows of a message are told of which generation of runs. See schemas/recount.py."""

import numpy as np
import pyarrow as pa

from schemas.recount import unmarked
from schemas.units import Header, RowKind


def told_of(generation: int, batch: pa.RecordBatch, header: Header) -> pa.RecordBatch:
    """The rows that are told of one generation; 0: of all runs that were never recounted, and of first ones."""
    arms = [unmarked(arm.run)[0] for arm in header.arms]
    facts = [unmarked(fact)[0] for fact in header.facts]
    if not any(arms) and not any(facts):
        return batch.slice(0, batch.num_rows if generation == 0 else 0)
    code = batch.column("code").to_numpy().astype(np.int64)
    is_exposure = batch.column("kind").to_numpy() & np.uint8(RowKind.EXPOSURE) != 0
    # What has no meaning in the header is a fault that the first generation tells.
    of_arm, of_fact = (np.array([*marks, 0])[np.minimum(code, len(marks))] for marks in (arms, facts))
    return batch.filter(pa.array(np.where(is_exposure, of_arm, of_fact) == generation))


def facts_of(generation: int, header: Header) -> list[str | None]:
    """The names of a header's facts, None of those of other generations."""
    found = (unmarked(fact) for fact in header.facts)
    return [name if of == generation else None for of, name in found]
