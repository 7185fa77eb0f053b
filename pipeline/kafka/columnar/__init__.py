"""Columns under Faust: a transport that delivers what one fetch brought for a partition as one event."""
