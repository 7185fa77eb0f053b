from typing import Annotated, Any

import msgspec
import pytest

from schemas.assignment import Assignment
from schemas.asyncapi import asyncapi
from schemas.event import Event
from schemas.exposure import Exposure
from schemas.fields import fields, says
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import TOLD, Cell
from schemas.numbers import Count

RECORDS = (Event, Exposure, Assignment, WorkerHealth)  # beside looks


def with_a_field(kind: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct("Cell", [("added", kind, None)], bases=(Cell,), frozen=True)


@pytest.mark.parametrize(
    "kind",
    [
        float | None,
        Count,  # which says nothing but its bounds
        Annotated[float | None, msgspec.Meta(title="added", description="Without a unit.")],
        Annotated[float | None, says("", "metric", "Without a title.")],
        Annotated[float | None, says("added", "metric", "")],
        Annotated[float | None, says("added", "furlong", "Of a unit that nobody knows.")],  # type: ignore[arg-type]
    ],
)
def test_a_field_of_a_cell_that_is_not_told_is_an_error_that_names_it(kind: Any):
    assert "added" in fields(with_a_field(Annotated[float | None, says("added", "metric", "It is told.")]))

    with pytest.raises(TypeError, match=r"Cell\.added .* annotate it"):
        fields(with_a_field(kind))


@pytest.mark.parametrize("struct", [*TOLD, *RECORDS, PartitionHealth])
def test_what_looks_and_records_consist_of_is_told_field_by_field(struct: type[msgspec.Struct]):
    told = fields(struct)

    assert [*told] == [*struct.__struct_fields__]
    assert len({field.title for field in told.values()}) == len(told)
    assert all(field.description.endswith((".", "?", "…")) for field in told.values())


@pytest.mark.parametrize("struct", [*TOLD, *RECORDS])
def test_asyncapi_has_each_field_with_title_unit_and_description(struct: type[msgspec.Struct]):
    schema = asyncapi("1")["components"]["schemas"][struct.__name__]["properties"]

    for name, field in fields(struct).items():
        assert schema[name].items() >= field.schema.items()
    assert schema.keys() == set(struct.__struct_fields__)


def test_a_bound_of_a_number_holds_where_its_field_is_told():
    bounded = msgspec.defstruct("Bounded", [("planned_units", Cell.__annotations__["planned_units"])])

    with pytest.raises(msgspec.ValidationError, match=r">= 0 - at `\$\.planned_units`"):
        msgspec.convert({"planned_units": -1}, bounded)
