"""`peekproof worker STAGE` runs one worker; `peekproof up` runs all of them on this machine."""

import logging
import os
import signal
import threading

import click

from pipeline.kafka import topics
from pipeline.listening import console, with_free_port
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.storage.readers import admit


@click.command()
@click.argument("stage", type=click.Choice(list(STAGES)))
@click.option("--member", hidden=True, help="Whose partitions it goes on with: a supervisor's.")
def worker(stage: str, member: str | None) -> None:
    """Run one worker of STAGE until SIGTERM; several workers of a stage share its load.

    But for storage and archive, which have one for each data directory: two keep everything twice. Of notifications
    one is enough: two tell everything twice.
    """
    end_at_once()
    from pipeline.stages.worker import run_worker  # noqa: PLC0415 (slow to import)

    run_worker(stage, Settings.read(), member)


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Of assignment, of identity and of aggregation.",
)
def up(workers: int) -> None:
    """Run every stage and the server on this machine until SIGTERM; what falls starts again."""
    end_at_once()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    settings = with_free_port(Settings.read())
    admit(settings)
    topics.require(settings)
    stop = threading.Event()
    with Supervisor(settings, workers) as supervisor:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        for name, process in supervisor.processes():
            click.echo(f"{name}: pid {process}")
        click.echo(f"console: {console(settings)}")
        click.echo(f"logs: {settings.data / 'logs'}; Ctrl-C stops")
        stop.wait()


def end_at_once() -> None:
    """Have SIGTERM and Ctrl-C end this process at once and well, while it holds nothing that it would have to finish.

    A process that does says so by handlers of its own.
    """
    before = {number: signal.signal(number, lambda *_: os._exit(0)) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    click.get_current_context().call_on_close(restore)
