"""`peekproof dead-letters`: the input that could not be used, and the way back for it."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import click
import msgspec
from rich.table import Table

from pipeline.cli.terminal import Terminal, harmless, told_utc
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering
from pipeline.kafka.reading import headers_of, read_topic
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.dead_letter import REASONS, DeadLetter, Reason, from_record, resent_headers
from schemas.decoding import NoMessageError
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES, SOURCES

SHOWN = 60  # characters of a value in the table
MEANINGS = "\b\nReasons:\n" + "\n".join(f"  {reason:<20}{REASONS[reason]}" for reason in get_args(Reason))


@click.command("dead-letters", epilog=MEANINGS)
@click.option("--reason", type=click.Choice(get_args(Reason)), metavar="REASON", help="Only those with this reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with the whole value.")
@click.option("--resend", is_flag=True, help="Send them to their topics again, now that the cause is mended.")
def dead_letters(reason: str | None, as_json: bool, resend: bool) -> None:
    """List the input that could not be used, one per origin.

    A dead letter that is sent again keeps its first append time, by which lateness is judged, and its origin, so that
    sending it twice counts once.
    """
    settings = Settings.read()
    dead_letters = _dead_letters(settings, reason)
    if resend:
        number = _resend(settings, dead_letters)
        click.echo(
            msgspec.json.encode({"resent": number}) if as_json else f"sent {number} dead letters to their topics again"
        )
        return
    if as_json:
        for dead_letter in dead_letters:
            click.echo(msgspec.json.encode(_told(dead_letter)))
        return
    table = Table("reason", "origin", "appended (UTC)", "detail", "value", box=None, pad_edge=False)
    rows = 0
    for dead_letter in dead_letters:
        appended = told_utc(dead_letter.append_time)
        value = "null" if dead_letter.value is None else dead_letter.value[:SHOWN].decode("utf-8", "backslashreplace")
        table.add_row(dead_letter.reason, dead_letter.origin, appended, dead_letter.detail, value)
        rows += 1
    if rows:
        Terminal(1_000).print(table)
    else:
        click.echo("there are none" if reason is None else f"there are none with the reason '{reason}'")


def _dead_letters(settings: Settings, reason: str | None) -> Iterator[DeadLetter]:
    """The topic's dead letters, one per origin: a restarted worker writes some again."""
    seen = set()
    aside = SetAside(tell=lambda text: click.echo(harmless(text), err=True))
    for record in read_topic(settings, DEAD_LETTERS):
        with aside.unless_ours(DEAD_LETTERS, record.partition, record.offset):
            dead_letter = from_record(headers_of(record), record.value)
            if dead_letter.topic not in SOURCES:
                raise NoMessageError(
                    f"its origin is topic '{dead_letter.topic}'; input comes from {' and '.join(SOURCES)}"
                )
            if dead_letter.origin not in seen and reason in {None, dead_letter.reason}:
                seen.add(dead_letter.origin)
                yield dead_letter


def _resend(settings: Settings, dead_letters: Iterable[DeadLetter]) -> int:
    """Send each dead letter's value to its topic and partition again; the number that was acknowledged.

    Those that the topic finds too large are told.
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
            sent = {
                dead_letter.origin: producer.send(
                    settings.topic(dead_letter.topic),
                    key=dead_letter.origin.encode(),  # the client refuses a null value without a key
                    value=dead_letter.value,
                    headers=resent_headers(dead_letter),
                    partition=dead_letter.partition,
                )
                for dead_letter in dead_letters
            }
            producer.flush()
            for origin, future in sent.items():
                try:
                    future.get()
                    number += 1
                except MessageSizeTooLargeError:
                    click.echo(
                        f"{origin} is larger than its topic takes and was not sent; see max.message.bytes", err=True
                    )
        finally:
            producer.close()
    return number


def _told(dead_letter: DeadLetter) -> dict[str, Any]:
    told = msgspec.to_builtins(dead_letter, builtin_types=(bytes,)) | {"origin": dead_letter.origin}
    told["headers"] = [(name, value.decode("utf-8", "backslashreplace")) for name, value in dead_letter.headers]
    if dead_letter.value is not None:
        try:
            told["value"] = dead_letter.value.decode()
        except UnicodeDecodeError:
            told |= {"value": None, "value_base64": base64.b64encode(dead_letter.value).decode()}
    return told
