"""Recounting: what archived exposures and events say of a run as it is now, had it been so from its start."""
