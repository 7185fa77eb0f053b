"""Command line: `peekproof COMMAND`. One module per group of commands, imported when one of them is called."""

import importlib
import logging
import os
import sys

import click

from pipeline import kernel_cache
from pipeline.errors import PeekproofError

# Command: where it is, and its line in the help. In the order in which a newcomer needs them.
COMMANDS = {
    "demo": ("pipeline.cli.demo:demo", "Watch experiments being decided on live traffic."),
    "broker": ("pipeline.cli.broker:broker", "Run a Kafka broker of our own."),
    "topics": ("pipeline.cli.topics:topics", "Create the topics, or mend their settings."),
    "validate": ("pipeline.cli.documents:validate", "Check the documents of a directory."),
    "apply": ("pipeline.cli.documents:apply", "Publish the documents that changed."),
    "recount": ("pipeline.cli.recount:recount", "Count an experiment again from its start, by what is archived."),
    "experiment": ("pipeline.cli.flags:experiment", "The life of experiments: start, complete, roll out or back, …"),
    "flag": ("pipeline.cli.flags:flag", "The same for feature flags; which are stale."),
    "comment": ("pipeline.cli.comments:comment", "Say something about a flag or an experiment."),
    "comments": ("pipeline.cli.comments:comments", "What people said about it."),
    "plan": ("pipeline.cli.plan:plan", "What a flag's plan would do; pause it, or let it go on."),
    "sample-size": ("pipeline.cli.sample_size:sample_size", "How many units and days an experiment takes."),
    "schema": ("pipeline.cli.documents:schema", "Write the JSON Schema of documents, for editors."),
    "key": ("pipeline.cli.keys:key", "Who may use the HTTP server: create, list, revoke."),
    "worker": ("pipeline.cli.workers:worker", "Run one worker of a stage."),
    "serve": ("pipeline.cli.serve:serve", "Answer SDKs and people over HTTP: flags, events, results, the console."),
    "up": ("pipeline.cli.workers:up", "Run every stage on this machine."),
    "analyze": ("pipeline.cli.analyze:analyze", "Results of files, without a broker."),
    "evaluate": ("pipeline.cli.evaluate:evaluate", "What flags yield for users, without a server."),
    "results": ("pipeline.cli.results:results", "Show the newest results, or follow them."),
    "explore": (
        "pipeline.cli.explore:explore",
        "Ask a run anything afterwards: slices, other metrics, a broken split.",
    ),
    "notifications": (
        "pipeline.cli.notifications:notifications",
        "List what people were told of; try whether it reaches them.",
    ),
    "dead-letters": ("pipeline.cli.dead_letters:dead_letters", "List input that could not be used; send it again."),
    "sources": ("pipeline.cli.sources:sources", "List topics that are read beside our own; try what is made of one."),
    "doctor": ("pipeline.cli.doctor:doctor", "Look at everything: what is wrong, and the command that mends it."),
    "simulate": ("pipeline.cli.simulate:simulate", "Count how often the inference errs when watched all the time."),
    "recover": ("pipeline.cli.recover:recover", "Go on where a log or a state is not what it must be."),
    "backup": ("pipeline.cli.backup:backup", "Keep what an installation needs to go on elsewhere, while it runs."),
    "restore": ("pipeline.cli.backup:restore", "Bring an installation back from a backup, or its lost catalog."),
    "replay": ("pipeline.cli.replay:replay", "Fold the archived log again and compare every look."),
}


class _Commands(click.Group):
    """Knows its commands by name and imports each only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name][0].split(":")
        found = getattr(importlib.import_module(module), function)
        if "numba" in sys.modules:
            kernel_cache.tell_when_slow()
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands)
@click.version_option(package_name="peekproof", message="%(version)s")
def command() -> None:
    """Experiments on a stream: flags, A/B tests, results that are valid whenever you look.

    Settings come from the environment (PEEKPROOF_...) and configs/peekproof.toml.
    """


def main() -> None:
    """The program `peekproof`. A PeekproofError is one message and exit code 2."""
    os.environ["PYTHONSAFEPATH"] = "1"  # in what we start, no file of the working directory goes before our packages
    for client in ("aiokafka", "kafka"):
        logging.getLogger(client).addHandler(logging.NullHandler())  # its errors are told once, by us
    try:
        command(prog_name="peekproof")
    except PeekproofError as error:
        click.echo(f"peekproof: {error}", err=True)
        sys.exit(2)
