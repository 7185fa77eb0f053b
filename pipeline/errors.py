"""Errors: what can go wrong in a way that a person can mend."""


class PeekproofError(Exception):
    """What a person can mend. Its text names the value, the rule, the place and the way out.

    The command line prints just that.

    For example:

        try:
            flags = load_flags("flags.json")
        except PeekproofError as error:
            log.warning("the former flags stay: %s", error)
    """
