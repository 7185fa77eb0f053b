"""Processors: what of them is left unused, so that one log gives the same bits on each.

numpy has logarithms and exponentials of its own for AVX-512, whose last bit is not that of other processors: a look
would differ from its replay on another machine. Without them it asks the C library, which is the same on all.
"""

import os
import sys

VARIABLE = "NPY_DISABLE_CPU_FEATURES"  # numpy reads it when it is imported
# As its versions call them; a name that one doesn't know does nothing.
AVX512 = "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"


def level() -> None:
    """Have numpy do without, here and in processes that come of this one, unless the environment says otherwise."""
    if VARIABLE not in os.environ and "numpy" not in sys.modules:
        os.environ[VARIABLE] = AVX512
