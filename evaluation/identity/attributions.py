"""Attributions: what one message on `identities` tells about units, as rows for the aggregation stage."""

from dataclasses import dataclass

from evaluation.assignment.messages import UnitRows
from schemas.units import Joining


@dataclass(frozen=True, slots=True)
class Attributions(UnitRows):
    """Rows in the order in which they hold.

    They are loose events of a unit that is known now, and with `WITHDRAWN` such as are another's. All have the offset
    of the message. `code` indexes `facts`. `joining` are totals, by flag and run.
    """

    catalog: int  # offset of the state in force
    begin: int  # covers offsets of the partition in [begin, end)
    end: int
    watermark: int  # ms UTC: what is still to come is no older, less a horizon; 0: not known yet
    facts: list[str]
    joining: list[Joining]
