"""Arrays: what columns of numbers, of words of 64 bits and of claims are."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.int64]
Mask = NDArray[np.bool_]
