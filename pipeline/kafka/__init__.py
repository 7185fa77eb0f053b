"""Kafka: how we are let in, the topics that a deployment has, and what reads and writes them."""
