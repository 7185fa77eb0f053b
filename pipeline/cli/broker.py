"""`peekproof broker`: a Kafka broker in the foreground."""

import signal
from pathlib import Path

import click

from pipeline.errors import PeekproofError
from pipeline.local_kafka.broker import Broker, command
from pipeline.settings import Settings
from pipeline.storage.readers import admit


@click.command()
@click.option("--port", default=9092, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Its directory [default: 'broker' in the data directory]."
)
@click.option("--prepare", is_flag=True, help="Fetch what it needs, once for this machine, and end.")
def broker(port: int, data: Path | None, prepare: bool) -> None:
    """Run Apache Kafka on this machine, for this machine, until Ctrl-C or SIGTERM. Its data stays."""
    if prepare:
        command()
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    settings = Settings.read()
    admit(settings)
    own = Broker(data or settings.data / "broker", port)
    try:
        own.start()
        click.echo(own.bootstrap_servers)
        click.echo(f"its data and log are in {own.directory}; Ctrl-C stops it", err=True)
        code = own.wait()
    except KeyboardInterrupt:
        return
    finally:
        own.stop()
    raise PeekproofError(f"Apache Kafka ended by itself with code {code}; see {own.directory / 'broker.log'}")
