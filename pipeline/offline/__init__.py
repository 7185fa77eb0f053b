"""Offline: the pure stages over files and over the archive, without a broker."""
