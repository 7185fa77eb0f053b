"""Fields: what a field of a message means, told once, in its type.

`says` stands in the annotation of a struct's field. From there schemas take title, unit and description, and so do
tables, files and the words of the console.
"""

from typing import Literal, NamedTuple, get_args

import msgspec

Unit = Literal[
    "none",  # a name, a word, an ordinal number, a pure number
    "units",  # that are randomised
    "exposures",
    "events",
    "people",
    "ids",
    "metric",  # the metric's own; of a conversion the share of units
    "metric * 10^scale",
    "metric^2 * 10^(2 * scale)",
    "share",  # 0.02 is 2 %
    "lift",  # relative to control: 0.02 is 2 % more
    "probability",
    "p-value",
    "ms UTC",
    "days",
]


class Field(NamedTuple):
    """A field of a struct. `more` is for whoever meets it for the first time; `is_followed`: from look to look."""

    name: str
    types: tuple[msgspec.inspect.Type, ...]  # what it may be but null
    title: str
    unit: Unit
    description: str
    more: str
    is_followed: bool

    @property
    def meaning(self) -> str:
        """In one sentence or several."""
        return f"{self.description} {self.more}".strip()

    @property
    def schema(self) -> dict[str, str]:
        """What JSON Schema tells of it, besides its type."""
        return _schema(self.title, self.unit, self.description, self.more)


def says(title: str, unit: Unit, description: str, *, more: str = "", is_followed: bool = False) -> msgspec.Meta:
    """What an annotated field means. `title` is a word or three; `description` one sentence that a table can take."""
    known = {"unit": unit, "description": description, "more": more, "is_followed": is_followed}
    return msgspec.Meta(extra_json_schema=_schema(title, unit, description, more), extra=known)


def followed(title: str, unit: Unit, description: str, *, more: str = "") -> msgspec.Meta:
    """The same of a number that histories show from look to look."""
    return says(title, unit, description, more=more, is_followed=True)


def fields(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of a struct by name, in its order. Raises TypeError for one that is not told."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    return {field.name: _field(struct, field) for field in info.fields}


def _schema(title: str, unit: Unit, description: str, more: str) -> dict[str, str]:
    whole = {"title": title, "description": f"{description} {more}".strip()}
    return whole if unit == "none" else whole | {"x-unit": unit}


def _field(struct: type[msgspec.Struct], field: msgspec.inspect.Field) -> Field:
    match field.type:
        case msgspec.inspect.Metadata(
            type=kind,
            extra_json_schema={"title": str(title)},
            extra={"unit": unit, "description": str(description), "more": str(more), "is_followed": bool(is_followed)},
        ) if title and unit in get_args(Unit) and description:
            several = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
            types = tuple(each for each in several if not isinstance(each, msgspec.inspect.NoneType))
            return Field(field.name, types, title, unit, description, more, is_followed)
    raise TypeError(
        f"{struct.__name__}.{field.name} is told without title, unit or description; annotate it: "
        f'Annotated[…, says("title", "unit", "Description.")], with a unit of {get_args(Unit)}'
    )
