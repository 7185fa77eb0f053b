"""Looks: those on the results topic, as readers take them (see schemas/look.py)."""

from collections.abc import Callable, Iterator

import click

from evaluation.significance.look import decode_look
from pipeline.cli.terminal import harmless
from pipeline.kafka.reading import read_topic
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.look import Look, RunKey
from schemas.topics import RESULTS


def read_looks(
    settings: Settings,
    last: dict[RunKey, int],
    *,
    follow: bool = False,
    caught_up: Callable[[], None] = lambda: None,
    run: RunKey | None = None,
) -> Iterator[tuple[Look, bytes]]:
    """Each look, of one `run` or of all, and its bytes; `last` gets each run's last number."""
    aside = SetAside(tell=lambda text: click.echo(harmless(text), err=True))
    key = "/".join(run).encode() if run else None
    for record in read_topic(settings, RESULTS, follow, caught_up):
        if key not in (None, record.key):
            continue
        with aside.unless_ours(RESULTS, record.partition, record.offset):
            look = decode_look(record.value)
            of = (look.experiment, look.run)
            if look.look > last.get(of, 0):
                last[of] = look.look
                yield look, record.value or b""
