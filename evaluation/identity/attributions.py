"""Attributions: what one message on `identities` tells about units, as rows for the aggregation stage."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.units import Arm, CameKind, Example, Joining


@dataclass(frozen=True, slots=True)
class Attributions:
    """Rows of schemas.units.ROWS without their source, parallel columns (n,), in the order in which they hold.

    They are loose events of a unit that is known now, and with `WITHDRAWN` such as are another's. All have the offset
    of the message. `code` indexes `facts`. `joining` are totals, by flag and run. `arms`, `examples` and `came` are
    none: assignment tells of them.
    """

    offset: NDArray[np.int64]
    kind: NDArray[np.uint8]
    code: NDArray[np.uint16]
    unit: NDArray[np.uint64]
    time: NDArray[np.int64]
    id: NDArray[np.uint64]
    value: NDArray[np.int64]
    catalog: int  # offset of the state in force
    begin: int  # covers offsets of the partition in [begin, end)
    end: int
    watermark: int  # ms UTC: what is still to come is no older, less a horizon; 0: not known yet
    facts: list[str]
    joining: list[Joining]
    arms: list[Arm] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    came: frozenset[tuple[CameKind, str, int]] = frozenset()
