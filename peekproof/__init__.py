"""Peekproof in a producer's own process: flags, evaluated without a server. Nothing here loads a compiler or a client.

flags = load_flags("flags.json")
flags.evaluate({"user_id": "ann", "user_properties": {"plan": "pro"}})
"""

from importlib.metadata import version

from evaluation.flags.compiled import Answer
from evaluation.flags.engine import Flags, Problem
from pipeline.errors import PeekproofError
from pipeline.flags import load_flags

__all__ = ["Answer", "Flags", "PeekproofError", "Problem", "__version__", "load_flags"]
__version__ = version("peekproof")
