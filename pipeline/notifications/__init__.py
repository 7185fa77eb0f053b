"""Notifications: word on its way to webhooks and people, and what waits for which place."""
