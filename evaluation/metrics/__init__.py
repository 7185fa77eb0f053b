"""Metrics: the unit store, which turns rows about units into exact sums of each arm."""
