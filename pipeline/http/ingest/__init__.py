"""Ingest: events that SDKs send, on their way to Kafka."""
