"""`peekproof worker STAGE` runs one worker; `peekproof up` runs all of them on this machine."""

import logging
import os
import signal
import threading

import click

from pipeline import topics
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.supervisor import Supervisor


@click.command()
@click.argument("stage", type=click.Choice(list(STAGES)))
@click.option("--until-stdin-ends", is_flag=True, hidden=True, help="Stop when standard input ends: a supervisor's.")
def worker(stage: str, until_stdin_ends: bool) -> None:
    """Run one worker of STAGE until SIGTERM; several workers of a stage share its load."""
    if until_stdin_ends:
        threading.Thread(target=_stop_when_stdin_ends, daemon=True).start()
    from pipeline.worker import run_worker  # noqa: PLC0415 (slow to import)

    run_worker(stage, Settings.read())


@click.command()
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Of assignment and aggregation."
)
def up(workers: int) -> None:
    """Run every stage on this machine until SIGTERM; what falls starts again."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    settings = Settings.read()
    topics.require(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Supervisor(settings, workers) as supervisor:
        for stage, process in supervisor.processes():
            click.echo(f"{stage}: pid {process}")
        click.echo(f"logs: {settings.data / 'logs'}; Ctrl-C stops")
        stop.wait()


def _stop_when_stdin_ends() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
