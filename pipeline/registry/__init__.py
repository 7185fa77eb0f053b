"""Registry: where schemas are by which producers of other topics write, in Confluent's protocol."""
