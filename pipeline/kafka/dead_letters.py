"""Dead letters: read from their topic, and sent back to where they came."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, NamedTuple

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering
from pipeline.kafka.reading import headers_of, read_topic
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.dead_letter import DeadLetter, from_record, resent_headers
from schemas.decoding import NoMessageError
from schemas.topics import DEAD_LETTERS, EVENTS, EXPOSURES, MARK, MAX_MESSAGE_BYTES, SOURCES

Tell = Callable[[str], None]


class SentBack(NamedTuple):
    """How many were acknowledged, and what is to be told of others."""

    number: int
    told: list[str]


def read_dead_letters(settings: Settings, reason: str | None, tell: Tell, since: int = 0) -> Iterator[DeadLetter]:
    """The topic's dead letters, each once: a restarted worker writes some again.

    `since`: that were written at that time (ms UTC) or after it. `tell` gets a sentence about each record that is none.
    """
    seen = set()
    aside = SetAside(tell=tell)
    for record in read_topic(settings, DEAD_LETTERS, since=since):
        with aside.unless_ours(DEAD_LETTERS, record.partition, record.offset):
            dead_letter = from_record(headers_of(record), record.value)
            if dead_letter.topic not in SOURCES and not dead_letter.topic.startswith(MARK):
                raise NoMessageError(
                    f"its origin is topic '{dead_letter.topic}'; input comes from {' and '.join(SOURCES)}"
                )
            if dead_letter.itself not in seen and reason in {None, dead_letter.reason}:
                seen.add(dead_letter.itself)
                yield dead_letter


def send_back_since(settings: Settings, reason: str, since: int, seconds: float, makes: Mapping[str, str]) -> SentBack:
    """Send those of a reason again that were written at that time (ms UTC) or after it, as far as so long suffices."""
    told: list[str] = []
    dead_letters = until(monotonic() + seconds, read_dead_letters(settings, reason, told.append, since), reason, told)
    return SentBack(send_back(settings, dead_letters, told.append, makes), told)


def until(end: float, dead_letters: Iterable[DeadLetter], reason: str, told: list[str]) -> Iterator[DeadLetter]:
    """Those that there is time for (`monotonic`, seconds); that there are others is told."""
    for dead_letter in dead_letters:
        if monotonic() >= end:
            told.append(
                f"it took too long, and was cut off at {dead_letter.origin}: `peekproof dead-letters --resend "
                f"--reason '{reason}'` sends all of them"
            )
            return
        yield dead_letter


def send_back(settings: Settings, dead_letters: Iterable[DeadLetter], tell: Tell, makes: Mapping[str, str]) -> int:
    """Send each dead letter's value to its topic and partition again; the number that was acknowledged.

    Of those that one source has of one origin, each for another reason, the first is sent: it holds what the others do.
    Nothing is written to topics that are not ours: what came from there goes to `events` or `exposures`, and is read
    there by its source; `makes` says of which kind each source's messages are. Those that the topic finds too large are
    told.
    """
    from kafka import KafkaProducer  # noqa: PLC0415 (slow to import)
    from kafka.errors import MessageSizeTooLargeError  # noqa: PLC0415

    with answering(settings):
        producer = KafkaProducer(
            **kafka_python_arguments(settings),
            acks="all",
            enable_idempotence=False,  # it ends with the first dead letter that is refused; one sent twice counts once
            compression_type="gzip",  # what a topic took may have come compressed
            max_request_size=MAX_MESSAGE_BYTES,
        )
        number = 0
        try:
            sent: dict[tuple[str, str | None], Any] = {}
            for dead_letter in dead_letters:
                if (dead_letter.origin, dead_letter.source) not in sent:
                    sent[dead_letter.origin, dead_letter.source] = producer.send(
                        settings.topic(_home(dead_letter, makes)),
                        key=dead_letter.origin.encode(),  # the client refuses a null value without a key
                        value=dead_letter.value,
                        headers=resent_headers(dead_letter),
                        partition=None if dead_letter.topic.startswith(MARK) else dead_letter.partition,
                    )
            producer.flush()
            for (origin, _), future in sent.items():
                try:
                    future.get()
                    number += 1
                except MessageSizeTooLargeError:
                    tell(f"{origin} is larger than its topic takes and was not sent; see max.message.bytes")
        finally:
            producer.close()
    return number


def _home(dead_letter: DeadLetter, makes: Mapping[str, str]) -> str:
    """The topic of ours to which it is sent: of a source that there is no more, `events` says that."""
    if not dead_letter.topic.startswith(MARK):
        return dead_letter.topic
    return EXPOSURES if makes.get(dead_letter.source or "") == "exposure" else EVENTS
