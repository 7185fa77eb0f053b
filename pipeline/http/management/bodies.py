"""Bodies: what people's requests bring, read as exactly as documents are."""

from codecs import BOM_UTF8
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException

from evaluation.assignment.wrong_types import in_words
from evaluation.catalog.exact_json import JsonError, read_json
from pipeline.http.callers.keys import Key


class ExactRequest(Request[Any, Key, Any]):
    """A request whose JSON is of the types that its route declares: a text is no number, and no name stands twice."""

    async def json(self) -> Any:
        """The body as the route declares it. Raises ClientException with what is wrong with it, and where."""
        try:
            value = read_json((await self.body()).removeprefix(BOM_UTF8) or b"null")
        except JsonError as error:
            raise ClientException(_told(str(error))) from None
        declared = self.route_handler.parsed_data_field
        if declared is None:
            return value
        try:
            return msgspec.convert(value, declared.annotation)
        except msgspec.ValidationError as error:
            raise ClientException(in_words(str(error), value)) from None


def _told(faults: str) -> str:
    return f"the request {faults}" if faults.startswith("is no JSON") else faults
