"""What happens: stages, transport, checkpoints, DuckDB, broker, command line. The shell around `evaluation`."""

from pipeline import kernel_cache

kernel_cache.choose()  # before any kernel is imported
