"""The server: one process that answers from memory, and writes what it is told to Kafka. One noun per module."""
