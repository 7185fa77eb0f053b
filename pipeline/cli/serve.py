"""`peekproof serve`: flags, events and results over HTTP."""

import click

from pipeline.cli.workers import end_at_once
from pipeline.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Another one needs keys (`peekproof key create`).")
@click.option("--port", type=click.IntRange(0, 65_535), help="Instead of PEEKPROOF_HTTP_PORT; 0: a free one.")
@click.option("--open", "is_open", is_flag=True, help="For a demo: everybody on this machine may do everything.")
def serve(host: str, port: int | None, is_open: bool) -> None:
    """Answer SDKs and people over HTTP until SIGTERM: flags, events, results, the console."""
    end_at_once()
    from pipeline.http import serving  # noqa: PLC0415
    from pipeline.kafka import complaints  # noqa: PLC0415 (slow to import)

    complaints.log()
    settings = Settings.read()
    serving.serve(settings, host, settings.http_port if port is None else port, is_open, _say)


def _say(address: str) -> None:
    click.echo(f"Peekproof answers at {address}")
