"""Faults: what is wrong with files, each with its place."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import PeekproofError


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong with a file, and where."""

    file: str
    line: int
    message: str  # the value, the rule and the way out
    field: str = ""  # as a person writes its path

    @property
    def told(self) -> str:
        """The message with the field that it is about."""
        return f"{self.field}: {self.message}" if self.field else self.message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.told}"


class DocumentError(PeekproofError):
    """Files that cannot be used, with every fault that was found, and what is noted of the others."""

    def __init__(self, faults: Iterable[Fault], notes: Iterable[Fault] = ()) -> None:
        self.faults = sorted(faults)
        self.notes = sorted(notes)
        super().__init__("\n".join(map(str, self.faults)))
