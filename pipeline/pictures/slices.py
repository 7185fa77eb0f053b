"""Slices: a run's answer, one comparison below the other."""

from msgspec.structs import replace

from evaluation.exploring.answer import Exploration
from pipeline.pictures.drawing import Picture
from pipeline.pictures.effects import effects
from schemas.look import EVERYONE


def slices_picture(found: Exploration) -> Picture:
    """The lift in each slice, with its interval, which allows for all that was asked."""
    cells = []
    for each in found.cells:
        named = ", ".join(f"{name} {value}" for name, value in zip(each.by, each.slice, strict=True))
        cells.append(replace(each.cell, metric=each.metric, segment=named or EVERYONE))
    asked = f"{found.family.comparisons} comparisons; intervals allow for all of them" if found.family else ""
    return effects(cells, f"{found.experiment}, {found.run}", asked)
