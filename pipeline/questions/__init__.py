"""What people ask of the archive: read by a process of its own, bounded in time. Nothing here knows the server."""
