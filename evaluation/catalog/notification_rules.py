"""Rules of notifications: what a document that says who is told what must satisfy beyond the types of its fields."""

from collections.abc import Iterator

from evaluation.catalog.rules import Violation
from schemas.notification import NotificationRule


def notification_violations(rule: NotificationRule) -> Iterator[Violation]:
    """What is wrong with a rule."""
    names = [place.name for place in rule.to]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Violation(("to", index, "name"), f"'{name}' is the name of two places; a name means one of them")
