"""What a reader says of a wrong type, as people say it."""

from typing import Any

import msgspec
import pytest

from evaluation.assignment.wrong_types import in_words


class Part(msgspec.Struct):
    ids: list[str] = []
    share: int | float = 1
    yes: bool = False
    groups: dict[str, str] = {}


class Message(msgspec.Struct):
    user_id: str | None = None
    part: Part | None = None
    name: str = "a"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"user_id": 42}, 'user_id is a number; send it as a text, "42"'),
        ({"user_id": 1 << 70}, f'user_id is a number; send it as a text, "{1 << 70}"'),
        ({"part": {"ids": ["a", 7]}}, 'part.ids[1] is a number; send it as a text, "7"'),
        ({"part": {"share": "5"}}, 'part.share is "5", a text; it must be a number'),
        ({"part": {"yes": 0.5}}, "part.yes is 0.5, a number; it must be true or false"),
        ({"part": {"groups": {"a.b": 1}}}, "part.groups[...] is a whole number; it must be a text"),
        ({"part": "x" * 99}, f'part is "{"x" * 59}, a text; it must be a group of fields'),
        ([], "the message is a list; it must be a group of fields"),
    ],
)
def test_a_wrong_type_is_told_in_plain_words(value: Any, said: str):
    text = msgspec.json.encode(value)
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.json.decode(text, type=Message)

    assert in_words(str(error.value), text) == said
