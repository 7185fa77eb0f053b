"""Reading: which topics that are not ours are read, and from when on, as the catalog's sources say."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from evaluation.catalog.history import History
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.sources import begins
from evaluation.sources.presets import filled
from schemas.duration import parse_duration
from schemas.source import KEY_PATH
from schemas.topics import MARK


class Reading(NamedTuple):
    """How a topic is read that is not ours.

    `since`: from the first record of that time (ms UTC) or later, unless it has been read before. `delay`: its records
    have their producers' times, and may come so much (ms) after them; 0: they have the broker's. `has_keys`: something
    is taken from their keys. `until`: it is paused since then (ms UTC).
    """

    since: int
    delay: int
    has_keys: bool
    until: int | None = None


def readings(history: History, horizon: int) -> dict[str, Reading]:
    """The topics (with `@`) of the sources that are not paused.

    Of several sources of a topic the one that begins first counts, and the longest delay.
    """
    return {topic: reading for topic, reading in _every(history, horizon).items() if reading.until is None}


def paused(history: History, horizon: int) -> dict[str, Reading]:
    """The topics (with `@`) all sources of which are paused."""
    return {topic: reading for topic, reading in _every(history, horizon).items() if reading.until is not None}


def _every(history: History, horizon: int) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    for key, first in history.first_sources.items():
        standing = history.newest.sources[key]
        source = standing.definition
        own = Reading(
            since=begins(first, horizon),
            delay=parse_duration(source.delay) if source.delay else 0,
            has_keys=KEY_PATH in _texts(msgspec.to_builtins(filled(source))),
            until=standing.append_time if source.paused else None,
        )
        known = found.setdefault(MARK + source.topic, own)
        found[MARK + source.topic] = _both(known, own)
    return found


def _both(one: Reading, other: Reading) -> Reading:
    """How a topic is read of which two sources want this; one that is paused has no say beside one that is not."""
    if (one.until is None) != (other.until is None):
        return one if one.until is None else other
    until = None if one.until is None or other.until is None else max(one.until, other.until)
    return Reading(min(one.since, other.since), max(one.delay, other.delay), one.has_keys or other.has_keys, until)


def made_by(catalog: Catalog) -> dict[str, str]:
    """What each source makes: `event` or `exposure`."""
    return {key: source.definition.makes for key, source in catalog.sources.items()}


def counted_as(source: str, what: str) -> str:
    """How what becomes of a source's messages is called among the counts of the assignment stage."""
    return f"source {source}: {what}"


def _texts(said: Any) -> Iterator[str]:
    """Every text in what a document says."""
    match said:
        case str():
            yield said
        case dict():
            for each in said.values():
                yield from _texts(each)
        case list() | tuple():
            for each in said:
                yield from _texts(each)
