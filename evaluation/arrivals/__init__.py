"""Arrivals: what has come, by name, and what may be missing."""
