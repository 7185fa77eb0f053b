"""Lanes: what stands on `notifications` and is not with every place of its rule yet, a lane for each place and subject.

Word goes to the places that the rule named when it was found, and still names: by the URL that it gives now. It waits
behind what was said before to that place of the same subject, until that was delivered or given up, and for nothing
else.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from evaluation.catalog.history import History
from evaluation.notifications.message import is_sendable, sendable_from
from pipeline.notifications.attempts import PATIENCE, Attempt, pause
from schemas.duration import DAY_MS
from schemas.notification import HandedOver, Notification, NotificationRule, Place

LATEST = 29 * DAY_MS  # after which word is sent no more: `deliveries` may have forgotten that it was
HANDOVERS = "handovers "  # what is counted of them is called so, and `due`, `done`, `failed` or `given up`
GONE = "it wanted no more when it was asked last (410); edit the rule to send again"

PlaceKey = tuple[str, str]  # rule, place


class Lane(NamedTuple):
    """One place of a rule, and one subject."""

    rule: str
    place: str
    subject: str

    @property
    def to(self) -> PlaceKey:
        return self.rule, self.place


class Errand(NamedTuple):
    """What is to be done now: hand this over there, by this rule; `refused`: don't, for this reason."""

    notification: Notification
    rule: NotificationRule
    version: int  # of the rule
    place: Place
    refused: str | None


class _Tried(NamedTuple):
    attempts: int
    last: int  # when (ms UTC)


class Lanes:
    """Folds `notifications` and `deliveries`, each record as often as it comes. Times are ms UTC."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}  # by id, when it was appended
        self._arrived: list[tuple[Notification, int]] = []  # not in a lane yet, and when they were appended
        self._lanes: dict[Lane, deque[Notification]] = {}
        self._done: set[tuple[str, str]] = set()  # id and place
        self._tried: dict[tuple[str, str], _Tried] = {}
        self._spared: dict[PlaceKey, int] = {}  # until when a place asked to be left alone
        self._gone: dict[PlaceKey, int] = {}  # which version of the rule named a place that wants no more

    def read(self, notification: Notification, append_time: int) -> None:
        """One record of `notifications`."""
        if notification.id not in self._known:
            self._known[notification.id] = append_time
            self._arrived.append((notification, append_time))

    def learn(self, outcome: HandedOver) -> None:
        """One record of `deliveries`."""
        key = (outcome.id, outcome.place)
        if outcome.outcome != "failed":
            self._done.add(key)
            self._tried.pop(key, None)
        elif key not in self._done:
            known = self._tried.get(key)
            if known is None or outcome.attempts > known.attempts:
                self._tried[key] = _Tried(outcome.attempts, outcome.time)

    @property
    def has_arrivals(self) -> bool:
        """Whether some are in no lane yet: the catalog must have been read at least as far."""
        return bool(self._arrived)

    def line_up(self, history: History, now: int) -> int:
        """Put what has arrived behind what waits already; how many handovers are due by that."""
        arrived, self._arrived = self._arrived, []
        number = 0
        for notification, append_time in arrived:
            if append_time < now - LATEST:
                continue
            for place in _places(history, notification.rule, append_time):
                if (notification.id, place) not in self._done:
                    lane = Lane(notification.rule, place, notification.subject)
                    self._lanes.setdefault(lane, deque()).append(notification)
                    number += 1
        return number

    def busy(self) -> list[Lane]:
        """Lanes in which something waits."""
        return [lane for lane in [*self._lanes] if self._head(lane) is not None]

    def errand(self, lane: Lane, history: History, now: int) -> Errand | None:
        """The first in the lane, if its time has come."""
        notification = self._head(lane)
        found = _place(history, lane)
        if notification is None or found is None:
            return None
        rule, version, place = found
        if self._gone.get(lane.to) == version:
            return Errand(notification, rule, version, place, GONE)
        tried = self._tried.get((notification.id, lane.place))
        since = tried.last + pause(notification.id, tried.attempts) if tried else 0
        if max(since, self._spared.get(lane.to, 0)) > now or not is_sendable(rule, now):
            return None
        return Errand(notification, rule, version, place, None)

    def outcome(self, errand: Errand, attempt: Attempt, now: int) -> HandedOver:
        """What is to be said of an attempt on `deliveries`; what it says of the place is remembered."""
        notification, place = errand.notification, errand.place.name
        to = (notification.rule, place)
        tried = self._tried.get((notification.id, place), _Tried(0, now))
        if attempt.pause:
            self._spared[to] = now + attempt.pause
        if attempt.is_last and not errand.refused:
            self._gone[to] = errand.version
        # By when it was published: else each word that waits behind another would have a day of its own.
        published = self._known.get(notification.id, now)
        is_over = attempt.is_last or now - sendable_from(errand.rule, published) >= PATIENCE
        return HandedOver(
            id=notification.id,
            rule=notification.rule,
            place=place,
            outcome="delivered" if attempt.error is None else "given up" if is_over else "failed",
            attempts=tried.attempts + (errand.refused is None),
            time=now,
            error=attempt.error,
        )

    def _head(self, lane: Lane) -> Notification | None:
        queue = self._lanes.get(lane, deque())
        while queue and (queue[0].id, lane.place) in self._done:
            queue.popleft()
        if not queue:
            self._lanes.pop(lane, None)
            return None
        return queue[0]


def _places(history: History, rule: str, append_time: int) -> Iterator[str]:
    """The names of the places that the rule had when word was appended."""
    states = history.states
    then = states[bisect_right(states, append_time, key=lambda state: state.append_time) - 1]
    if rule in then.notifications:
        yield from (place.name for place in then.notifications[rule].definition.to)


def _place(history: History, lane: Lane) -> tuple[NotificationRule, int, Place] | None:
    """The rule as it is now, its version, and its place of that name; None where either is gone, or switched off."""
    found = history.newest.notifications.get(lane.rule)
    if found is None or not found.definition.enabled:
        return None
    place = next((each for each in found.definition.to if each.name == lane.place), None)
    return None if place is None else (found.definition, found.version, place)
