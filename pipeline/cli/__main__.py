"""`python -m pipeline.cli` is the program `peekproof`."""

from pipeline.cli import main

main()
