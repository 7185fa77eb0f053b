"""Tracking: what is written of an evaluation. Assignments, and exposures where the SDK asks for them.

Neither for a default, nor for a flag that does not want it. A user who gets the same answers again within a day is
written once.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from itertools import count

import msgspec

from evaluation.assignment.compiled import Answer
from pipeline.http.flags import FlagMemory, ServedFlags
from pipeline.http.posts import Post, Posts
from pipeline.http.recent import Recent
from pipeline.http.sticky import ORIGIN, Sticky
from schemas.assignment import Assignment
from schemas.catalog import Breakdown
from schemas.topics import ASSIGNMENTS, EXPOSURES

LINES = (("content-type", b"application/x-ndjson"),)
MOST_BYTES = 500_000  # of a record; the brokers take a million
DAY_MS = 86_400_000
ANSWERED = ("flagVersion", "experimentKey", "segmentName")  # of an answer's metadata

User = Mapping[str, object]
Answers = Mapping[str, Answer]


class Tracker:
    """Posts what was evaluated."""

    def __init__(self, posts: Posts, flags: FlagMemory, sticky: Sticky) -> None:
        self._posts = posts
        self._flags = flags
        self._sticky = sticky
        self._exposed = Recent()
        self._assigned = Recent()
        self._origin = f"{ORIGIN}{secrets.token_hex(6)}"
        self._numbers = count()

    def expose(self, served: ServedFlags, user: User, answers: Answers) -> None:
        """The user has met what it was answered. Not sent before every reader of the catalog knows these versions."""
        given = _given(answers)
        if not given or not self._exposed.is_new(_identity(user, given)):
            return
        lines = [msgspec.json.encode(each) for each in _exposures(served, user, given, _now())]
        while lines:
            size, number = 0, 0
            while number < len(lines) and (size := size + len(lines[number]) + 1) <= MOST_BYTES:
                number += 1
            taken, lines = lines[: max(1, number)], lines[max(1, number) :]
            self._posts.add(Post(EXPOSURES, b"\n".join(taken), headers=LINES), self._flags.settled_at)

    def assign(self, user: User, answers: Answers, sticky: Mapping[str, bytes]) -> None:
        """The user was given these; `sticky` holds the keys of the assignments to remember."""
        given = _given(answers)
        for flag, key in sticky.items():
            if flag in given:
                self._sticky.remember(key, given[flag].metadata.get("experimentKey"), given[flag].key)
        if not given or not self._assigned.is_new(_identity(user, given)):
            return
        now, unit = _now(), _text(user, "user_id") or _text(user, "device_id") or ""
        for flag, answer in given.items():
            assignment = Assignment(
                flag_key=flag,
                variant=answer.key,
                reason=answer.reason,
                experiment_key=answer.metadata.get("experimentKey"),
                user_id=_text(user, "user_id"),
                device_id=_text(user, "device_id"),
                groups=user.get("groups"),  # type: ignore[arg-type]  # as the user says
                payload=answer.payload,
                metadata={name: answer.metadata[name] for name in ANSWERED if name in answer.metadata},
                time=now,
                origin=f"{self._origin}/{next(self._numbers)}",
            )
            key = sticky.get(flag) or f"{flag}/{unit}".encode()
            self._posts.add(Post(ASSIGNMENTS, msgspec.json.encode(assignment), key))


def _exposures(served: ServedFlags, user: User, answers: Answers, now: int) -> Iterator[dict[str, object]]:
    """One for each answer: who, what, and the properties by which the flag's results are broken down."""
    who = {name: user[name] for name in ("user_id", "device_id", "groups") if user.get(name) is not None}
    for flag, answer in answers.items():
        version = answer.metadata.get("flagVersion")
        exposure = {
            "flag_key": flag,
            "variant": answer.key,
            "time": now,
            "insert_id": f"{who.get('user_id')} {who.get('device_id')} {flag} {answer.key} {version} {now // DAY_MS}",
            "metadata": {"flagVersion": version},
            **who,
            **_broken_down(user, served.breakdowns.get(flag, ())),
        }
        if run := answer.metadata.get("experimentKey"):
            exposure["experiment_key"] = run
        yield exposure


def _broken_down(user: User, breakdowns: tuple[Breakdown, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    of_user, properties = user.get("user_properties"), {}
    for breakdown in breakdowns:
        field, _, name = breakdown.property.partition(".")
        if field == "user_properties" and isinstance(of_user, dict) and name in of_user:
            properties[name] = of_user[name]
        elif not name and user.get(field) is not None:
            found[field] = user[field]
    return found | {"user_properties": properties} if properties else found


def _given(answers: Answers) -> dict[str, Answer]:
    """What is tracked: variants that are no default, of flags that the deployment is served."""
    given = {}
    for flag, answer in answers.items():
        metadata = answer.metadata
        if not metadata.get("default") and metadata.get("deployed") and metadata.get("trackExposure") is not False:
            given[flag] = answer
    return given


def _identity(user: User, answers: Answers) -> tuple[object, ...]:
    """Who got what, by which versions."""
    who = (str(user.get(name)) for name in ("user_id", "device_id", "groups"))
    return *who, *((flag, each.key, each.metadata.get("flagVersion")) for flag, each in answers.items())


def _text(user: User, name: str) -> str | None:
    value = user.get(name)
    return value if isinstance(value, str) else None


def _now() -> int:
    return time.time_ns() // 1_000_000
