"""Recovery: backups, and going on where a log or a state is not what it must be."""
