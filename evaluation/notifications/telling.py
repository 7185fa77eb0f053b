"""Telling: which notifications are due: what stands now, by each rule, and was not told yet.

Whoever asks again, after a restart or beside another, finds the same with the same ids. An id follows from rule, event,
subject, part and state, and from the id of what was told of them before: a verdict that becomes the same again later is
another piece of word.
"""

from collections.abc import Mapping

import msgspec

from evaluation.catalog.history import History
from evaluation.notifications.runs import RunSeen
from evaluation.notifications.work import Work
from schemas.look import RunKey
from schemas.notification import Notification, NotificationRule, ToldKey


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known now. The caller has read every topic to an end that it asked for just before.

    `runs` are folded from `results` by `seen`; `work.now` is the time.
    """

    history: History
    runs: Mapping[RunKey, RunSeen]
    work: Work


def due(situation: Situation, told: Mapping[ToldKey, Notification]) -> list[Notification]:
    """What is to be told now; `told` is the newest on `notifications` by `told_key`.

    In the order in which it is to be published. Once those stand in `told`, the same situation gives none.
    """
    raise NotImplementedError


def trial(rule: NotificationRule, now: int) -> Notification:
    """Word that the rule's places can be reached: what `peekproof notifications test` sends."""
    raise NotImplementedError
