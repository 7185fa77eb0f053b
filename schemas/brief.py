"""Brief: what people remember of an experiment, in their own words."""

from typing import Annotated

import msgspec

from schemas.written import Key, Strict, Text

LONGEST_MARKDOWN = 20_000  # characters

Markdown = Annotated[
    str, msgspec.Meta(max_length=LONGEST_MARKDOWN, description=f"Markdown of at most {LONGEST_MARKDOWN:,} characters")
]


class Brief(Strict, frozen=True, kw_only=True):
    """What is remembered of an experiment: one YAML file in `configs/briefs/`, whose key is the experiment's.

    `background`: why it was asked. `decision`: what was decided, and why. `learning`: what the next one should know.
    Each is Markdown, without HTML. Hypothesis, plan and result stand beside them by themselves.
    """

    key: Key
    owner: Text
    tags: tuple[Text, ...] = ()
    background: Markdown = ""
    decision: Markdown = ""
    learning: Markdown = ""
