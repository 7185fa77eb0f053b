"""Parts: structs of which anything may be left out, at every depth, and what is there must be as in the whole."""

import inspect
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from schemas.written import Strict


@cache
def part_of(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct's part: it has the same fields, and none of them must be said."""
    fields = [
        (field.name, _part(field.type) | None, msgspec.field(default=None, name=field.encode_name))
        for field in msgspec.structs.fields(struct)
    ]
    return msgspec.defstruct(
        f"{struct.__name__}Part",
        fields,
        bases=(Strict,),
        module=__name__,
        namespace={"__doc__": inspect.getdoc(struct)},
        frozen=True,
        kw_only=True,
    )


def _part(kind: Any) -> Any:
    origin: Any = get_origin(kind)
    first, *others = get_args(kind) or (kind,)
    if origin is Annotated:
        return Annotated[(_part(first), *others)]  # type: ignore[return-value]
    if origin in (Union, UnionType):
        return reduce(or_, map(_part, get_args(kind)))
    if origin is tuple:
        return origin[(_part(first), ...)]
    if origin is dict:
        return origin[(first, *map(_part, others))]
    return part_of(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else kind
