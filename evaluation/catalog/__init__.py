"""Catalog: the documents in force, what they must satisfy, and what a change of them does."""
