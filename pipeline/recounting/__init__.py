"""Recounting: a process that reads the archive and tells `units` what came before a generation of a run."""
