"""Tracking: what is written of an evaluation. Assignments, and exposures where the SDK asks for them.

Neither for a default, nor for a flag that does not want it. A user who gets the same answers again within a day is
written once.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import msgspec

from evaluation.flags.compiled import Answer
from evaluation.flags.paths import unescaped
from pipeline.http.evaluate.flags import FlagMemory, ServedFlags
from pipeline.http.evaluate.recent import RecentlySeen
from pipeline.http.evaluate.sticky import ORIGIN, Sticky
from pipeline.http.ingest.lines import HEADERS, parts
from pipeline.http.ingest.outbox import Outbox
from pipeline.kafka.producer import KafkaRecord
from schemas.assignment import Assignment
from schemas.catalog import Breakdown
from schemas.duration import DAY_MS
from schemas.topics import ASSIGNMENTS, EXPOSURES

ANSWERED = ("flagVersion", "experimentKey", "segmentName")  # of an answer's metadata
EXPOSED = ("flagVersion", "segmentName")  # of it, by an exposure

User = Mapping[str, object]
Answers = Mapping[str, Answer]


class Tracker:
    """Puts what was evaluated into the outbox."""

    def __init__(self, outbox: Outbox, flags: FlagMemory, sticky: Sticky) -> None:
        self._outbox = outbox
        self._flags = flags
        self._sticky = sticky
        self._exposed = RecentlySeen()
        self._assigned = RecentlySeen()
        self._origin = f"{ORIGIN}{secrets.token_hex(6)}"
        self._numbers = count()

    def expose(self, served: ServedFlags, user: User, answers: Answers) -> None:
        """The user has met what it was answered. Not sent before every reader of the catalog knows these versions."""
        given = _given(served, answers)
        identity = _identity(user, given)
        if not given or not self._exposed.is_new(identity):
            return
        lines = [msgspec.json.encode(each) for each in _exposures(served, user, given, _now())]
        records: list[KafkaRecord] = [(None, b"\n".join(part), HEADERS) for part in parts(lines)]
        if not self._outbox.add(EXPOSURES, records, self._flags.settled_at, served.deployment or ""):
            self._exposed.forget(identity)

    def assign(self, served: ServedFlags, user: User, answers: Answers, sticky: Mapping[str, str]) -> None:
        """The user was given these; `sticky` holds the units of the flags whose assignments are to be remembered."""
        given = _given(served, answers)
        if kept := [each for each in given if each.flag in sticky]:
            units = {each.flag: sticky[each.flag] for each in kept}
            self._sticky.remember(units, [(each.run, each.variant) for each in kept])
        identity = _identity(user, given)
        if not given or not self._assigned.is_new(identity):
            return
        user_id, device_id, groups, now = _text(user, "user_id"), _text(user, "device_id"), user.get("groups"), _now()
        records: list[KafkaRecord] = []
        for each in given:
            unit = sticky.get(each.flag) or user_id or device_id or ""
            assignment = Assignment(
                flag_key=each.flag,
                variant=each.variant,
                reason=each.reason,
                experiment_key=each.run,
                user_id=user_id,
                device_id=device_id,
                groups=groups,  # type: ignore[arg-type]  # as the user says
                unit=unit,
                payload=each.payload,
                metadata=each.metadata,
                time=now,
                origin=f"{self._origin}/{next(self._numbers)}",
            )
            records.append((f"{each.flag}/{unit}".encode(), msgspec.json.encode(assignment), []))
        if not self._outbox.add(ASSIGNMENTS, records, holder=served.deployment or ""):
            self._assigned.forget(identity)


class _Given(NamedTuple):
    """What is tracked of an answer."""

    flag: str
    variant: str
    version: int | None
    run: str | None
    reason: str
    payload: object
    metadata: dict[str, object]
    identity: int  # of flag, variant and version


def _exposures(served: ServedFlags, user: User, given: Sequence[_Given], now: int) -> Iterator[dict[str, object]]:
    """One for each answer: who, what, and the properties by which the flag's results are broken down."""
    who = {name: user[name] for name in ("user_id", "device_id", "groups") if user.get(name) is not None}
    names = f"{who.get('user_id')} {who.get('device_id')}"
    for each in given:
        exposure = {
            "flag_key": each.flag,
            "variant": each.variant,
            "time": now,
            "insert_id": f"{names} {each.flag} {each.variant} {each.version} {now // DAY_MS}",
            "metadata": {name: each.metadata[name] for name in EXPOSED if name in each.metadata},
            **who,
            **_broken_down(user, served.breakdowns.get(each.flag, ())),
        }
        if each.run:
            exposure["experiment_key"] = each.run
        yield exposure


def _broken_down(user: User, breakdowns: tuple[Breakdown, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    of_user, properties = user.get("user_properties"), {}
    for breakdown in breakdowns:
        field, _, path = breakdown.property.partition(".")
        name = unescaped(path)
        if field == "user_properties" and isinstance(of_user, dict) and name in of_user:
            properties[name] = of_user[name]
        elif not name and user.get(field) is not None:
            found[field] = user[field]
    return found | {"user_properties": properties} if properties else found


def _given(served: ServedFlags, answers: Answers) -> list[_Given]:
    """What is tracked: variants that are no default, of flags that the deployment is served."""
    return [given for given in served.each(_tracked, answers) if given]


def _tracked(_: ServedFlags, flag: str, answer: Answer) -> _Given | None:
    metadata = answer.metadata
    if metadata.get("default") or not metadata.get("deployed") or metadata.get("trackExposure") is False:
        return None
    version = metadata.get("flagVersion")
    return _Given(
        flag=flag,
        variant=answer.key,
        version=version,
        run=metadata.get("experimentKey"),
        reason=answer.reason,
        payload=answer.payload,
        metadata={name: metadata[name] for name in ANSWERED if name in metadata},
        identity=hash((flag, answer.key, version)),
    )


def _identity(user: User, given: Sequence[_Given]) -> tuple[object, ...]:
    """Who got what, by which versions."""
    return *(str(user.get(name)) for name in ("user_id", "device_id", "groups")), *(each.identity for each in given)


def _text(user: User, name: str) -> str | None:
    value = user.get(name)
    return value if isinstance(value, str) else None


def _now() -> int:
    return time.time_ns() // 1_000_000
