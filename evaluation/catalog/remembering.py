"""Remembering: which briefs and comments there may be."""

from collections.abc import Collection, Iterator

from evaluation.catalog.rules import Violation, did_you_mean
from schemas.brief import Brief
from schemas.comment import Comment


def brief_violations(brief: Brief, flags: Collection[str]) -> Iterator[Violation]:
    """Whether it is of a flag that there is."""
    if brief.key not in flags:
        yield Violation(
            ("key",),
            f"'{brief.key}' is no flag; a brief has the key of its experiment; {did_you_mean(brief.key, flags)}",
        )


def comment_violations(comment: Comment, flags: Collection[str]) -> Iterator[Violation]:
    """What is wrong with a comment."""
    if comment.key not in flags:
        yield Violation(("key",), f"'{comment.key}' is no flag; {did_you_mean(comment.key, flags)}")
    if (comment.text is None) == (comment.withdraws is None):
        yield Violation(("text",), "a comment has a text, or it withdraws another one; say one of the two")
    if comment.look is not None and comment.run is None:
        yield Violation(("look",), f"look {comment.look} is of a run; say which")
