"""What is concluded. Pure: no Kafka, disk, clock, randomness or environment."""
