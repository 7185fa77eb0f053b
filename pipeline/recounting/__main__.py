"""`python -m pipeline.recounting GENERATION`: tell what came before it. The archive's worker starts it."""

import asyncio
import os
import sys

import pyarrow as pa

from pipeline.errors import PeekproofError
from pipeline.kernel_cache import spare_linalg
from pipeline.recounting.telling import tell
from pipeline.settings import Settings

NICENESS = 10  # results come first


def main() -> None:
    """Exit code 0: it is told, or nobody wants it any more. 1: not yet; standard error says why."""
    os.nice(NICENESS)
    spare_linalg()
    pa.set_cpu_count(1)
    try:
        asyncio.run(tell(Settings.read(), int(sys.argv[1])))
    except PeekproofError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
