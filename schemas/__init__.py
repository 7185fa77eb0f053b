"""What is said: the messages of each topic, the documents of the catalog, the columns between stages."""
