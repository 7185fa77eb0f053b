"""Writer schema: by which schema producers wrote records, as a registry has it under a number."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]


class SchemaName(msgspec.Struct, frozen=True):
    """Under which subject a registry has a schema, and as which version of it."""

    subject: str
    version: int


class WriterSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema that a registry has under a number, which never becomes another one.

    `needed` are the texts of those that it refers to, each behind what it refers to itself. `files` is, of Protobuf, a
    compiled FileDescriptorSet whose last file is the schema's own. `fault`: why nothing can be read by it.
    """

    id: int
    kind: SchemaKind = "AVRO"
    text: str = ""
    names: tuple[SchemaName, ...] = ()
    needed: tuple[str, ...] = ()
    files: bytes = b""
    fault: str | None = None

    def told(self, topic: str) -> str:
        """Its number, subject and version in words: of several subjects the one that is named for the topic."""
        if not self.names:
            return f"schema {self.id}"
        name = next((each for each in self.names if each.subject == f"{topic}-value"), self.names[0])
        return f"schema {self.id} ({name.subject} version {name.version})"


Schemas = Mapping[int, WriterSchema]  # by number
NO_SCHEMAS: Schemas = MappingProxyType({})
