"""Arriving: what comes, for whoever wants to see whether it does."""
