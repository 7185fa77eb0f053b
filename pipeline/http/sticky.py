"""Sticky: which variant each unit of a sticky flag has in its run, by the assignments that servers made."""

import msgspec
from aiokafka import ConsumerRecord

from evaluation.assignment.users import context_of
from evaluation.assignment.values import select, text_of
from pipeline.http.flags import ServedFlags

MOST = 2_000_000  # units, of all flags: some 300 MB. Beyond, those that were assigned longest ago are forgotten.
PROPERTY = "[Experiment] {}"  # of the user, in which Amplitude keeps the variant of a flag
ORIGIN = "http/"  # of the assignments that servers make
_OF_SERVERS = b'"origin":"http/'


class _Assigned(msgspec.Struct):
    variant: str
    origin: str
    experiment_key: str | None = None


class Sticky:
    """Remembers; of a unit the newest assignment counts."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # By the key of the assignment, flag/unit, the oldest first: the run, and the variant in it.
        self._variants: dict[bytes, tuple[str | None, str]] = {}

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic `assignments`."""
        if record.key and record.value and _OF_SERVERS in record.value:  # few are: the others are not decoded
            assigned = msgspec.json.decode(record.value, type=_Assigned)
            if assigned.origin.startswith(ORIGIN):
                self.remember(record.key, assigned.experiment_key, assigned.variant)

    def remember(self, key: bytes, run: str | None, variant: str) -> None:
        """A unit was given a variant."""
        self._variants.pop(key, None)
        self._variants[key] = run, variant
        if len(self._variants) > self._most:
            del self._variants[next(iter(self._variants))]

    def stick(self, user: dict[str, object], served: ServedFlags) -> dict[str, bytes]:
        """Tell the user which variants it has, where it doesn't say so itself; the keys of its assignments by flag."""
        if not served.sticky:
            return {}
        context, keys, properties = {"context": context_of(user)}, {}, user.get("user_properties")
        properties = dict(properties) if isinstance(properties, dict) else {}
        for flag, (run, selector) in served.sticky.items():
            if unit := text_of(select(context, selector)):
                keys[flag] = f"{flag}/{unit}".encode()
                of_run, variant = self._variants.get(keys[flag], (None, ""))
                if of_run == run:
                    properties.setdefault(PROPERTY.format(flag), variant)
        user["user_properties"] = properties
        return keys
