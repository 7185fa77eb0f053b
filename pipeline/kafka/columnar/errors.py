"""What the transport refuses to go on with. Each of these ends the worker: going on would lose or invent records.

PeekproofError
└── TransportError
    ├── BrokenTurnError       an error before left work half-done (turn.py)
    ├── CorruptRecordsError   the bytes of a record batch are not what their producer wrote
    └── GapError              the log no longer holds the records that must come next
"""

from pipeline.errors import PeekproofError


class TransportError(PeekproofError):
    """Root of the transport's errors."""


class CorruptRecordsError(TransportError):
    """A record batch that fails its checksum, has an unknown format, or doesn't parse."""


class GapError(TransportError):
    """Records that must be read next are missing: retention or a truncated log took them."""
