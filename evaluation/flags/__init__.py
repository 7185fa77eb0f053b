"""Flags: which variant a context gets, one by one. Loads no compiler and no columns."""
