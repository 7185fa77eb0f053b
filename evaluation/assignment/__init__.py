"""Assignment: what the records of a slice say about units, by the columns of their messages."""
