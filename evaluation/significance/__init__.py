"""Significance: whether a difference is real, said so that it may be read at any time."""
