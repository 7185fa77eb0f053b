"""Files: people's rows (NDJSON, CSV, Parquet, Amplitude's exports) as messages of the topics."""
