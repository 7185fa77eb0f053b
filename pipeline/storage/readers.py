"""Readers: who but the user that runs it may read what an installation keeps on disk.

Nearly all of it holds ids and properties of people. So it is the process's umask that decides, for every file that this
process and those that it starts make; keys and the private store are their owner's alone, whatever is set.
"""

import os

from pipeline.settings import Settings

UMASKS = {"owner": 0o077, "group": 0o027, "everybody": 0o022}


def admit(settings: Settings) -> None:
    """Write for the installation's readers from now on, and shut others out of what was written before."""
    umask = UMASKS[settings.readers]
    os.umask(umask)
    for name in ("archive", "store", "checkpoints", "logs", "broker", "demo"):
        directory = settings.data / name
        if directory.is_dir() and directory.stat().st_uid == os.geteuid() and directory.stat().st_mode & umask:
            directory.chmod(directory.stat().st_mode & ~umask & 0o7777)
