"""Errors: what can go wrong in a way that a person can mend."""


class PeekproofError(Exception):
    """The root. Its text names the value, the rule, the place and the way out; the command line prints just that."""
