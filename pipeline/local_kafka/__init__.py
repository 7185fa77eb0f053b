"""Local Kafka: a broker of our own, from packages alone, for a machine that has none."""
