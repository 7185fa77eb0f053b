"""Processes: those that one machine runs, forked from one that has loaded what they need."""
