"""Benchmarks: `make bench`, or `python -m tests.benchmarks [--records N] [--json]`.

Figures are ratios within one run, CPU time beside wall time. Nothing here is a test.
"""

import json

import click

from tests.benchmarks import throughput


@click.command()
@click.option(
    "--records", type=int, default=2_000_000, show_default=True, help="That go through each of the pipelines."
)
@click.option("--json", "as_json", is_flag=True, help="The figures, as JSON.")
def main(records: int, as_json: bool) -> None:
    """Measure, and print what came out."""
    measured = throughput.measure(records)
    click.echo(json.dumps({"throughput": measured}) if as_json else f"throughput\n{throughput.show(measured)}")


if __name__ == "__main__":
    main()
