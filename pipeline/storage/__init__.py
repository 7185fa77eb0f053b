"""Storage: what stays on disk. The archive, checkpoints, the DuckDB store and its snapshot."""
