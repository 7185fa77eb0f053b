"""Names: a fixed list of distinct strings to find others in, however many.

What is found out of columns needs kernels, and their compiler takes 100 MB and half a second to load. Stages that look
at no column know names all the same, in every document: they never load it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluation.columns.lookup import LookupTable
    from evaluation.columns.texts import Texts


@dataclass(frozen=True)
class Names:
    """Distinct strings."""

    names: tuple[str, ...]

    @cached_property
    def _table(self) -> "LookupTable":
        from evaluation.columns.lookup import table_of  # noqa: PLC0415 (loads the compiler)

        return table_of(self.names)

    def codes(self, texts: "Texts") -> "NDArray[np.int64]":
        """Each text's position in `names`; -1 where it is none of them, -2 where it is missing."""
        from evaluation.columns.lookup import codes_of  # noqa: PLC0415

        return codes_of(texts, self._table)
