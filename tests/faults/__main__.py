"""`python -m tests.faults` soaks the pipeline in faults, and says what came of it."""

import logging
import sys
from pathlib import Path

import click
import msgspec

from tests.faults.soak import Soak


@click.command
@click.option("--minutes", type=float, default=30.0, show_default=True, help="Of faults; then everything settles.")
@click.option("--rate", type=float, default=5_000.0, show_default=True, help="Records a second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of what happens when.")
@click.option("--directory", type=click.Path(path_type=Path), default="build/soak", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="What came of it as one JSON document; progress to stderr.")
def main(minutes: float, rate: float, seed: int, directory: Path, as_json: bool) -> None:
    """Soak the whole pipeline in faults, one every few seconds. Exit code 1 where something is lost, double or wrong.

    The directory keeps the logs.
    """
    logging.getLogger("pipeline.catalog.topic").setLevel(
        logging.ERROR
    )  # of rejected records it says no more than we know
    soak = Soak(directory.absolute(), 60 * minutes, rate, seed, lambda line: click.echo(line, err=as_json))
    outcome = soak.run()
    if as_json:
        click.echo(msgspec.json.encode(outcome))
    else:
        for line in outcome.lines:
            click.echo(line)
    sys.exit(not outcome.is_good)


if __name__ == "__main__":
    main()
