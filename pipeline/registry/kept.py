"""Kept: the schemas that a registry gave, in memory and on disk. One never becomes another, so it is asked for once."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import msgspec

from evaluation.assignment.foreign import named_by
from evaluation.catalog.sources import ReadSource
from pipeline.durable import writing
from pipeline.registry.protocol import RegistryClient, RegistryError
from pipeline.settings import Settings
from schemas.records import Records
from schemas.writer_schema import NO_SCHEMAS, Schemas, WriterSchema

UNKNOWN_SECONDS = 10.0  # after which it is asked again what it could not say
PATIENCE_SECONDS = 0.5  # within which a registry that is well has answered


def schemas_of(records: Records, sources: Collection[ReadSource], kept: "KeptSchemas | None") -> Schemas:
    """Those that the records name, by these sources, and that can be had now; none where no schemas are `kept`."""
    return kept.known(named_by(records, [each.source for each in sources])) if kept else NO_SCHEMAS


class KeptSchemas:
    """The schemas of an installation's registry, on disk under `data/schemas`."""

    def __init__(self, settings: Settings) -> None:
        self._client = RegistryClient(settings)
        self._folder = settings.data / "schemas" / quote(self._client.url, safe="")
        self._schemas: dict[int, WriterSchema] = {}
        self._useless: dict[int, tuple[WriterSchema, float]] = {}  # and until when
        self._away_until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._why = self._unanswered = f"schema_registry {self._client.url} has not answered yet"

    def of(self, numbers: Collection[int]) -> Schemas:
        """The schemas of these numbers. Raises RegistryError where the registry is needed and does not answer."""
        for number in self._missing(numbers):
            schema = self._client.schema(number)
            if schema.fault is None:
                self._schemas[number] = schema
                self._folder.mkdir(parents=True, exist_ok=True)
                with writing(self._folder / f"{number}.json") as path:
                    path.write_bytes(msgspec.json.encode(schema))
            else:
                self._useless[number] = schema, monotonic() + UNKNOWN_SECONDS
        return self._found(numbers)

    def known(self, numbers: Collection[int]) -> Schemas:
        """Those of these that can be had now: a registry that did not answer is left alone for a while."""
        if self._missing(numbers) and self._away_until < monotonic():
            try:
                return self.of(numbers)
            except RegistryError:
                self._away_until = monotonic() + UNKNOWN_SECONDS
        return self._found(numbers)

    async def soon(self, numbers: Collection[int]) -> Schemas:
        """The schemas of these numbers, within a moment: asking goes on meanwhile.

        Raises RegistryError where some are not there yet.
        """
        missing = self._missing(numbers)
        if missing and self._asking is None:
            asking = self._ask(missing)
            await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
            if asking.done():
                asking.result()
        if self._missing(numbers):
            raise RegistryError(self._why)
        return self._found(numbers)

    def at_hand(self, numbers: Collection[int]) -> Schemas:
        """Those of these that are there now; the others are asked for meanwhile."""
        missing = self._missing(numbers)
        if missing and self._asking is None:
            self._ask(missing)
        return self._found(numbers)

    def _ask(self, missing: Collection[int]) -> asyncio.Task[None]:
        async def ask() -> None:
            try:
                await asyncio.to_thread(self.of, missing)
                self._why = self._unanswered
            except RegistryError as error:
                self._why = str(error)
            finally:
                self._asking = None

        self._asking = asyncio.create_task(ask())
        return self._asking

    def _found(self, numbers: Collection[int]) -> Schemas:
        useless = {number: self._useless[number][0] for number in numbers if number in self._useless}
        return useless | {number: self._schemas[number] for number in numbers if number in self._schemas}

    def _missing(self, numbers: Collection[int]) -> list[int]:
        """Those that are to be asked for; what is on disk is brought into memory."""
        missing = []
        for number in numbers:
            if number in self._schemas or (number in self._useless and self._useless[number][1] > monotonic()):
                continue
            if (kept := self._on_disk(self._folder / f"{number}.json")) is not None:
                self._schemas[number] = kept
            else:
                missing.append(number)
        return missing

    @staticmethod
    def _on_disk(path: Path) -> WriterSchema | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=WriterSchema)
        except (OSError, ValueError):  # it was not kept, or not by a version like this
            return None
