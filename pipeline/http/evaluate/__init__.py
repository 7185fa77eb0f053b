"""Evaluate: which variants a user gets, by Amplitude's protocol and by OpenFeature's."""
