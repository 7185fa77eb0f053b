"""`peekproof topics`: makes the cluster's topics fit."""

import asyncio

import click
import msgspec

from pipeline.catalog.fitting import unreadable
from pipeline.kafka.topics import MISSING, create
from pipeline.quantities import quantity
from pipeline.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON.")
def topics(as_json: bool) -> None:
    """Create the topics that are missing and mend the settings of the others; doing it again changes nothing.

    Topics of sources, which are not ours, are neither created nor mended: those that cannot be read are told.
    """
    settings = Settings.read()
    mended = create(settings)
    for topic, fault in asyncio.run(unreadable(settings)).items():
        click.echo(f"topic {settings.topic(topic)}, of a source, is not read: {fault}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(mended).decode())
        return
    for difference in mended:
        if difference.found == MISSING:
            click.echo(f"{difference.topic}: created with {quantity(int(difference.wanted), 'partition')}")
        else:
            click.echo(f"{difference.topic}: {difference.setting} was {difference.found}, now {difference.wanted}")
    if not mended:
        click.echo("every topic is as it must be")
