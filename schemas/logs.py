"""Logs: which logs of which cluster an installation's offsets belong to, and what of them is known to be lost.

The catalog's one document that no author writes: `peekproof topics` begins it, `peekproof recover` goes on.
"""

from typing import Literal

import msgspec

from schemas.numbers import Count, Small, Time

LOGS: Literal["logs"] = "logs"  # the document's kind, and its key


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log of one topic.

    `id` is Kafka's: a topic that is made anew has another one; empty where the brokers give none. `bases`, by
    partition, are added to Kafka's offsets, so that offsets go on where those of the log before ended.
    """

    id: str
    bases: dict[int, int] = {}


class Gap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offsets [begin, end) of a partition that a stage never got, and goes on behind, as somebody decided.

    `since` and `until` (ms UTC, null if unknown) are append times between which the records lay. `unknown`: the end of
    the log was lost, and how many records with it nobody can say.
    """

    stage: str
    topic: str
    partition: Small
    begin: Count
    end: Count
    since: Time | None = None
    until: Time | None = None
    reason: str
    unknown: bool = False


class Logs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The logs in force from this version on, by topic (without the installation's prefix); `gaps` came with it."""

    key: Literal["logs"] = LOGS
    cluster: str
    topics: dict[str, Log]
    gaps: tuple[Gap, ...] = ()
