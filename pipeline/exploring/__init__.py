"""What people ask of a run afterwards, read from the archive."""
