"""Properties: what stands at one selector in each of n contexts. Every distinct value is looked at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Mask
from evaluation.columns.hashing import bucket_hashes
from evaluation.columns.names import Names
from evaluation.columns.texts import Texts
from evaluation.flags.conditions import CompiledCondition, View
from evaluation.flags.values import Selector, Subject, read_json, subject_of, text_of

Distinct = tuple[NDArray[np.int64], list[Any]]  # the n values as positions in a list


@dataclass(frozen=True)
class PropertyColumn:
    """n values. Where they stand as texts, a condition on equality and a bucket need not even make them distinct."""

    distinguish: Callable[[], Distinct]
    plain: Texts | None = None

    @classmethod
    def of_codes(cls, codes: NDArray[np.int64], values: list[Any]) -> "PropertyColumn":
        """Values by their positions in a list."""
        return cls(lambda: (codes, values))

    @classmethod
    def of_values(cls, values: Iterable[Any]) -> "PropertyColumn":
        """JSON values in Python's types, each looked at on its own."""
        each = list(values)
        return cls.of_codes(np.arange(len(each)), each)

    @classmethod
    def of_texts(cls, texts: Texts) -> "PropertyColumn":
        """Strings; a missing one is null."""
        return cls(lambda: _distinct(texts, _decoded), texts)

    @classmethod
    def of_json(cls, texts: Texts) -> "PropertyColumn":
        """Values as JSON writes them; a missing one, and one that cannot be read, is null."""
        return cls(lambda: _distinct(texts, read_json))

    def joined(self, other: "PropertyColumn", value_of: Callable[[Any, Any], Any]) -> "PropertyColumn":
        """What is made of this value and the other's; of equal pairs once."""
        (codes, values), (other_codes, others) = self.distinct, other.distinct
        pairs, together = np.unique(codes * len(others) + other_codes, return_inverse=True)
        made = [value_of(values[pair // len(others)], others[pair % len(others)]) for pair in pairs.tolist()]
        return PropertyColumn.of_codes(together, made)

    @cached_property
    def distinct(self) -> Distinct:
        """The values by their positions in a list."""
        return self.distinguish()

    @cached_property
    def _subjects(self) -> list[Subject]:
        return [subject_of(value) for value in self.distinct[1]]

    @cached_property
    def _views(self) -> dict[View, list[Any]]:
        return {}

    def _viewed(self, view: View) -> list[Any]:
        """What conditions look at of each distinct value."""
        if view not in self._views:
            self._views[view] = [*map(view, self._subjects)]
        return self._views[view]

    @property
    def texts(self) -> Texts:
        """Each of the n values as one text, by which it is bucketed."""
        return self._texts.take(self.distinct[0]) if self.plain is None else self.plain

    @cached_property
    def _texts(self) -> Texts:
        texts = [text_of(value) for value in self.distinct[1]]
        return Texts.of([None if text is None else text.encode("utf-8", "replace").decode() for text in texts])

    def mask(self, condition: CompiledCondition) -> Mask:
        """Which of the n values satisfy the condition."""
        if self.plain is not None and condition.listed is not None:
            return self._listed(self.plain, condition.listed, condition)
        codes, values = self.distinct
        return np.fromiter(map(condition.meets, self._viewed(condition.view)), np.bool_, len(values))[codes]

    def hashes(self, salt: str) -> tuple[NDArray[np.uint32], Mask]:
        """The hash of `salt/text` of each value, and which values have a text that is not empty."""
        if self.plain is not None:
            return bucket_hashes(salt, self.plain), self.plain.length > 0
        codes = self.distinct[0]
        return bucket_hashes(salt, self._texts)[codes], (self._texts.length > 0)[codes]

    def _listed(self, texts: Texts, listed: Names, condition: CompiledCondition) -> Mask:
        """`is` and `is not`; a text that may be an array is asked on its own."""
        codes = listed.codes(texts)
        mask = (codes >= 0) != condition.negated
        mask[codes == -2] = condition.matches(None)
        filled = np.flatnonzero(texts.length > 0)
        for i in filled[texts.data[texts.start[filled]] == ord("[")].tolist():
            mask[i] = condition.matches(subject_of(texts[i]))
        return mask


def satisfied(
    conditions: Sequence[tuple[Selector, CompiledCondition]], columns: Mapping[Selector, PropertyColumn], n: int
) -> Mask:
    """Which of n contexts satisfy all conditions. A selector without a column is missing in each of them."""
    mask = np.ones(n, np.bool_)
    for selector, condition in conditions:
        column = columns.get(selector)
        mask &= condition.matches(None) if column is None else column.mask(condition)
    return mask


def _distinct(texts: Texts, value_of: Callable[[bytes], Any]) -> Distinct:
    encoded = texts.arrow().dictionary_encode()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [*(value_of(text) for text in encoded.dictionary.to_pylist()), None]


def _decoded(text: bytes) -> str:
    return text.decode()
