"""Decoding: what a record on one of our topics says, or that it is no message of ours."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


class NoMessageError(ValueError):
    """Somebody else's record: nothing of ours is lost if it is set aside."""


def decode(value: bytes | None, kind: type[T]) -> T:
    """The JSON message that a record holds. Raises NoMessageError."""
    if not value:
        raise NoMessageError("the record is empty")
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
        raise NoMessageError(str(error)) from error
    except RecursionError:
        raise NoMessageError("the record is nested too deeply") from None
