"""Catalog: documents as files and as records of the topic, and the steps that change them."""
