"""Columns: texts, names, hashes and JSON as arrays, with no object for each value."""
