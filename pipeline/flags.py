"""Flags in a producer's own process, without a server: load them, evaluate a user.

flags = load_flags("flags.json")
flags.evaluate({"user_id": "ann", "user_properties": {"plan": "pro"}})
"""

from pathlib import Path

from evaluation.assignment.engine import Flags
from pipeline.errors import PeekproofError


def load_flags(path: str | Path) -> Flags:
    """The flags of a file: a JSON array of flag configurations. Raises PeekproofError where it cannot be read."""
    try:
        return Flags.read(Path(path).read_bytes())
    except OSError as error:
        raise PeekproofError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PeekproofError(f"'{path}': {error}") from None
