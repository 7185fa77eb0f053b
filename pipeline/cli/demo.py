"""`peekproof demo`: experiments that are decided on live traffic, in this terminal."""

import os
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.live import Live

from pipeline.demo.session import DemoMoment, DemoOutcome, Show, run_demo
from pipeline.demo.view import DemoView, lines, summary
from pipeline.demo.watch import DemoWatch
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from pipeline.storage.readers import admit

PLAIN_SECONDS = 5.0  # between plain lines


@click.command()
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=60, show_default=True, help="Of traffic.")
@click.option("--events-per-second", type=click.FloatRange(1, 1_000_000), default=20_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document at the end instead of pictures.")
def demo(seconds: float, events_per_second: float, as_json: bool) -> None:
    """Watch experiments being decided on the live traffic of simulated visitors.

    Starts a Kafka broker (unless PEEKPROOF_BOOTSTRAP_SERVERS names one), the topics, the example experiments and a
    worker of every stage, and opens the console in a browser; stops them all at the end, or on Ctrl-C. Exit code 0:
    everything sent has been counted, and every result is final.
    """
    console = Console()
    settings = Settings.read()
    admit(settings)
    if as_json:
        outcome = run_demo(settings, seconds, events_per_second, lambda *_: None)
        click.echo(msgspec.json.encode(outcome))
    else:
        with pictures(console) if console.is_terminal else _plain() as show:
            outcome = run_demo(settings, seconds, events_per_second, show)
        console.print(summary(outcome, Path.cwd()), soft_wrap=True)
    if not outcome.complete:
        raise PeekproofError(_why(outcome))


@contextmanager
def pictures(console: Console) -> Iterator[Show]:
    """What is to be seen, on a terminal; the results also in a browser."""
    is_opened = False

    def show(watch: DemoWatch, moment: DemoMoment) -> None:
        nonlocal is_opened
        live.update(DemoView(watch, moment), refresh=True)
        if watch.looks and not is_opened:  # so there is something to see
            is_opened = True
            _open(moment.console)

    with Live(console=console, auto_refresh=False) as live:
        yield show


def _open(address: str) -> None:
    """Open a page where there is a screen; a browser for terminals would take ours."""
    if sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()  # some take their time


@contextmanager
def _plain() -> Iterator[Show]:
    last = (time.monotonic() - PLAIN_SECONDS, "")

    def show(watch: DemoWatch, moment: DemoMoment) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last[0] >= PLAIN_SECONDS or moment.phase != last[1]:
            last = (now, moment.phase)
            click.echo("\n".join(lines(watch, moment)))
            sys.stdout.flush()

    yield show


def _why(outcome: DemoOutcome) -> str:
    logs = Path(outcome.snapshot).parent / "logs"
    what = f"{outcome.counted:,} of {outcome.produced:,} records were counted"
    if outcome.unfinished:
        what += f", {', '.join(outcome.unfinished)} did not become final"
    return f"the demo ended before its results were complete: {what}; if nobody stopped it, the logs say more: {logs}"
