"""Named fields: a JSON object of which some fields are read, whatever they are called."""

from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec


def named_fields(types: Mapping[str, Any]) -> Any:
    """A type that msgspec decodes an object to: a dictionary of those fields that are there; others are passed over.

    A struct would refuse names with a backslash, a quote or a control character. A TypedDict finds a name beyond ASCII
    only where CPython keeps its UTF-8 already (msgspec 0.22), as it does once it was encoded.
    """
    msgspec.json.encode([*types])
    return TypedDict("Fields", dict(types), total=False)  # type: ignore[operator]
