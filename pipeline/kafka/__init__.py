"""Kafka: how we are let in, the topics that an installation has, and what reads and writes them."""
