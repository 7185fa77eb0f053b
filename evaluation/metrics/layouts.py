"""Layouts: what each table of the unit store holds, field by field.

Every field is an int64. A kernel that reads a field which its table does not have fails when it is compiled; one that
is given another table fails there too, and before that when types are checked.
"""

from typing import NewType

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Words

Table = NDArray[np.void]


def _layout(*fields: str) -> np.dtype[np.void]:
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


# What a message of `units` brings.

HeaderArms = NewType("HeaderArms", Table)
HEADER_ARM = _layout(
    "run",  # its number among the runs that the message names, or why there is none
    "arm",  # its number in that run
)

Exposures = NewType("Exposures", Table)
EXPOSURE = _layout(
    "unit",
    "time",
    "insert_id",
    "arm",
    "run",
    "segments",  # SEGMENT_BITS for each breakdown; on `units` they travel in the column `value`
)

Events = NewType("Events", Table)
EVENT = _layout("time", "insert_id", "value", "unit", "fact")

Notes = NewType("Notes", Table)
NOTE = _layout("fact", "time", "what", "unit", "insert_id")

ExposureCounts = NewType("ExposureCounts", Table)  # of a run
EXPOSURE_COUNTS = _layout("accepted", "late", "inactive", "forced")

# The recent events of a partition, and its past.

RecentRing = NewType("RecentRing", Table)
RECENT = _layout(  # an event, or a note
    "time",
    "insert_id",
    "value",  # what was noted, of a note
    "unit",
    "link",  # the number of the unit's event before, plus 1, above what `recent.FACT` and `recent.DISPUTED` say
)

RecentState = NewType("RecentState", Table)
RECENT_STATE = _layout("tail", "head", "units", "notes")

Marks = NewType("Marks", Table)  # of a message's events
MARK = _layout("event", "unit")  # fingerprints

Newest = NewType("Newest", Table)
NEWEST = _layout("unit", "word")  # the word is the number of the unit's newest event, plus 1

Buckets = NewType("Buckets", Table)
BUCKET = _layout("unit", "word", "values")  # the word is a key above how many events there are; see lookback.py

# What a run measures.

Feeds = NewType("Feeds", Table)
FEED = _layout(
    "fact",
    "variable",
    "steps",  # which ones it is, as bits
    "is_first",  # of its fact in its column
    "is_past",  # the variable is another metric's: events count before the entry alone
)

Variables = NewType("Variables", Table)
VARIABLE = _layout(
    "kind",
    "column",
    "at",  # the word of a member's row where its total begins
    "covariate",  # and that of its covariate's
    "cap",
    "floor",
    "scale",  # 10^scale of a logged value
    "precision",  # 10^places of its logarithm; 0: it has none
    "steps",  # how many
    "begins",  # a retention's period, from its start on (ms)
    "ends",
)

MetricColumns = NewType("MetricColumns", Table)
METRIC_COLUMN = _layout(
    "since",  # it covers entries from then on (ms UTC)
    "window",  # ms
    "first",  # of its variables
    "variables",  # how many
    "own",  # of its covariates those that are its own numbers before the entry: as many as variables, or 0
    "others",  # and those that are other metrics'; their variables stand behind its own
    "numbers",  # how many it has of a unit
    "cell",  # where its cells begin
    "width",  # of a bucket of the past (ms); 0: it has no covariates
    "recorded",  # buckets are whole from then on (ms UTC)
    "spread",  # of what values it tells how they are spread: UNSPREAD, OF_UNITS or OF_EVENTS
)

Breakdowns = NewType("Breakdowns", Table)
BREAKDOWN = _layout("first", "segments")  # its first segment, and how many it has

# The members of a run, and what is counted of them.

Heads = NewType("Heads", Table)
HEAD = _layout(  # the first words of a member's row
    "unit",
    "entry",  # ms UTC
    "insert_id",  # of the exposure that it entered with
    "state",  # its arm above the flags JUMPER and REASSIGNED
    "segments",
)
HEAD_WORDS = HEAD.itemsize // 8

RunCounts = NewType("RunCounts", Table)
RUN_COUNTS = _layout("members", "heaped", "queued", "jumpers", "reassigned", "same_ids")

Tallies = NewType("Tallies", Table)  # of each column
TALLY = _layout("events", "withheld", "duplicates", "late", "unusable", "looked_back", "crowded")

Parts = NewType("Parts", Table)  # of each variable and arm
PART = _layout("kept", "lost")  # events that count, and those of which it makes no number

Settled = NewType("Settled", Table)  # of each column
SETTLED = _layout("cursor", "before")  # how many of the queue are; entries before that time are

Heap = NewType("Heap", Table)
HEAPED = _layout("entry", "member")

PendingEvents = NewType("PendingEvents", Table)
PENDING_EVENT = _layout(
    "time",
    "insert_id",
    "steps",  # 0: it is dead
    "before",  # the number of the one before it in time, plus 1, or the list's end
    "member",
    "variable",
    "rank",  # from 1 in its hour
)

Bins = NewType("Bins", Table)
BIN = _layout(  # of a cell's spread; see kernels/spread.py
    "unit",  # the cell: column, arm and segment
    "word",  # the bucket above 0
    "live",
    "live_squares",
    "live_products",
    "settled",
    "settled_squares",
    "settled_products",
)

Lists = NewType("Lists", Table)
LISTED = _layout(  # a value that a unit's events have, or several that share a bucket
    "key",
    "events",
    "next",  # the number of the next larger one, plus 1; 0: there is none
)

SeenValues = NewType("SeenValues", Table)
SEEN_VALUE = _layout(  # of a total that counts different ones; see kernels/seen.py
    "unit",  # the member, the variable and its generation
    "word",  # the value above a bit that is set
    "events",  # that have it
)

ListCounts = NewType("ListCounts", Table)
LIST_COUNTS = _layout("bins", "listed", "seen", "free")  # in use; the first of a list that is free again, plus 1

Ring = NewType("Ring", Table)
RING = _layout("tail", "head")


def words_of(table: Table) -> Words:
    """A table's words, flat: a view of it, as long as it is contiguous."""
    return table.view(np.int64).reshape(-1)


def heads_of(rows: Words) -> Heads:
    """The heads of members' rows: a view of them."""
    return Heads(rows[:, :HEAD_WORDS].view(HEAD)[:, 0])
