"""Benchmarks: `make bench`, or `python -m tests.benchmarks [--records N] [--units N] [--events N] [--json]`.

Figures are ratios within one run, CPU time beside wall time. Each part that wants Kafka starts a broker of its own,
whatever PEEKPROOF_BOOTSTRAP_SERVERS says. Nothing here is a test.
"""

import json

import click

from tests.benchmarks import arrivals, engine, exploring, live, looks, rebuild, serving, throughput, units


@click.command()
@click.option(
    "--part",
    type=click.Choice(["throughput", "looks", "engine", "http", "units", "rebuild", "arrivals", "exploring", "live"]),
    help="That alone; else all.",
)
@click.option(
    "--records", type=int, default=2_000_000, show_default=True, help="That go through each of the pipelines."
)
@click.option("--units", "most", type=int, default=10_000_000, show_default=True, help="At most, in the unit store.")
@click.option(
    "--events",
    type=int,
    default=10_000_000,
    show_default=True,
    help="In the archive of `rebuild`; twice as many in that of `exploring`.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures, as JSON.")
def main(part: str | None, records: int, most: int, events: int, as_json: bool) -> None:
    """Measure, and print what came out."""
    parts = {
        "throughput": (lambda: throughput.measure(records), throughput.show),
        "looks": (looks.measure, looks.show),
        "engine": (engine.measure, engine.show),
        "http": (serving.measure, serving.show),
        "units": (lambda: units.measure(most), units.show),
        "rebuild": (lambda: rebuild.measure(events), rebuild.show),
        "arrivals": (arrivals.measure, arrivals.show),
        "live": (live.measure, live.show),
        "exploring": (lambda: exploring.measure(2 * events), exploring.show),
    }
    measured = {}
    for name in [part] if part else parts:
        measure, show = parts[name]
        measured[name] = measure()
        if not as_json:
            click.echo(f"{name}\n{show(measured[name])}")
    if as_json:
        click.echo(json.dumps(measured))


if __name__ == "__main__":
    main()
