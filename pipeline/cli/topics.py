"""`peekproof topics`: makes the cluster's topics fit."""

import click
import msgspec

from pipeline.kafka.topics import MISSING, create
from pipeline.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON.")
def topics(as_json: bool) -> None:
    """Create the topics that are missing and mend the settings of the others; doing it again changes nothing."""
    mended = create(Settings.read())
    if as_json:
        click.echo(msgspec.json.encode(mended).decode())
        return
    for difference in mended:
        if difference.found == MISSING:
            click.echo(f"{difference.topic}: created with {difference.wanted} partitions")
        else:
            click.echo(f"{difference.topic}: {difference.setting} was {difference.found}, now {difference.wanted}")
    if not mended:
        click.echo("every topic is as it must be")
