"""Sockets: requests from bytes, within bounds that no caller can take from another."""
