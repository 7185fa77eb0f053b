"""Notifications: what is to be told now, to whom, and in which words."""
