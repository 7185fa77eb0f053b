"""What happens: stages, transport, checkpoints, DuckDB, broker, command line. The shell around `evaluation`."""

from pipeline import kernel_cache, processors

processors.level()  # before numpy is imported
kernel_cache.choose()  # before any kernel is imported
