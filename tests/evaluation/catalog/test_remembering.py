"""Comments and briefs: what counts, what is withdrawn, and what nobody who assigns units hears of."""

import msgspec

from evaluation.catalog.comments import comments_of
from evaluation.catalog.history import History
from evaluation.catalog.remembering import brief_violations
from schemas.brief import Brief
from schemas.catalog import KINDS, Document, Flag, FlagState, Spec, Variant
from schemas.comment import Comment

BUTTON = Flag(key="button", owner="shop", variants=(Variant(key="on"),))


class Log:
    """A catalog's log with a flag, to which documents are appended a second apart."""

    def __init__(self) -> None:
        self.history = History()
        self.append(FlagState(definition=BUTTON))

    def append(self, spec: Spec, author: str = "ann") -> None:
        kind, offset = KINDS[type(spec)], len(self.history.states) - 1
        key = spec.definition.key if isinstance(spec, FlagState) else spec.key
        base = self.history.newest.version_of(kind, key)
        said = {"kind": kind, "key": key, "version": base + 1, "base": base, "author": author, "time": 0, "reason": "r"}
        document = Document(**said, spec=msgspec.Raw(msgspec.json.encode(spec)))
        self.history.append(offset, offset * 1_000, msgspec.json.encode(document))


def test_each_version_is_a_comment_and_one_that_is_withdrawn_is_told_without_its_text():
    log = Log()
    log.append(Comment(key="button", text="look!", run="exp-1", look=7))
    log.append(Comment(key="button", text="oh <b>no</b>"), "tom")
    log.append(Comment(key="button", withdraws=1))
    for nothing in (1, 3, 9):
        log.append(Comment(key="button", withdraws=nothing), "eve")

    first, second = comments_of(log.history, "button")
    assert (first.version, first.author, first.time, first.text, first.look) == (1, "ann", 1_000, None, 7)
    assert (first.withdrawn, first.withdrawn_by) == (3_000, "ann")
    assert (second.author, second.text, second.withdrawn) == ("tom", "oh <b>no</b>", None)
    assert comments_of(log.history, "banner") == []


def test_what_is_no_comment_is_ignored():
    log = Log()
    for wrong in (
        Comment(key="banner", text="x"),
        Comment(key="button"),
        Comment(key="button", text="x", withdraws=1),
        Comment(key="button", text="x", look=7),
    ):
        log.append(wrong)

    assert comments_of(log.history, "button") == []
    assert "'banner' is no flag" in log.history.rejected[0].reason
    assert "look 7 is of a run; say which" in log.history.rejected[3].reason


def test_comments_and_briefs_leave_what_is_served_and_measured_as_it_was():
    log = Log()
    before = log.history.newest
    log.append(Comment(key="button", text="x"))
    log.append(Brief(key="button", owner="shop", learning="it *works*"))
    after = log.history.newest

    assert after.briefs["button"].definition.learning == "it *works*"
    assert after.offset == before.offset + 2
    for part in ("flags", "metrics", "groups", "cohorts", "deployments"):
        assert getattr(after, part) is getattr(before, part)
    assert [*brief_violations(Brief(key="button", owner="shop"), before.flags)] == []
    assert "did you mean 'button'" in str(*brief_violations(Brief(key="buton", owner="shop"), before.flags))
