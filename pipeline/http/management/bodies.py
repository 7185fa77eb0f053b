"""Bodies: what people's requests bring, read as exactly as documents are."""

from codecs import BOM_UTF8
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException

from evaluation.assignment.wrong_types import in_words
from evaluation.catalog.exact_json import JsonError, read_json
from evaluation.catalog.rules import Violation, path_text
from pipeline.catalog.types import type_violations
from pipeline.http.callers.keys import Key

FAULTS = "faults"  # of an answer that refuses: which field is to blame for what


class ExactRequest(Request[Any, Key, Any]):
    """A request whose JSON is of the types that its route declares: a text is no number, and no name stands twice."""

    async def json(self) -> Any:
        """The body as the route declares it. Raises ClientException with what is wrong with it, and where."""
        return self.read(await self.body())

    def read(self, body: bytes) -> Any:
        """The same of bytes."""
        try:
            value = read_json(body.removeprefix(BOM_UTF8) or b"null")
        except JsonError as error:
            raise ClientException(_told(str(error))) from None
        declared = self.route_handler.parsed_data_field
        return value if declared is None else self.converted(value, declared.annotation)

    def converted(self, value: Any, kind: Any) -> Any:
        """The value as this type. Raises ClientException."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise ClientException(in_words(str(error), value)) from None


class DocumentRequest(ExactRequest):
    """The same of one that brings a document's part: every fault is told, and which field is to blame."""

    def converted(self, value: Any, kind: Any) -> Any:
        """The value as this type. Raises ClientException with all faults."""
        if violations := [*type_violations(value, kind)]:
            raise ClientException("\n".join(map(str, violations)), extra={FAULTS: faults(violations)})
        return msgspec.convert(value, kind)


def faults(violations: Iterable[Violation]) -> list[dict[str, str]]:
    """Faults as answers tell them."""
    return [{"path": path_text(each.path), "error": each.message} for each in violations]


def _told(faults: str) -> str:
    return f"the request {faults}" if faults.startswith("is no JSON") else faults
