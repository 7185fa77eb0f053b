"""Results: looks, for people and programs."""
