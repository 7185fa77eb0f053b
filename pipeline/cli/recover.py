"""`peekproof recover`: the ways out where a log lost what a stage needs next, or a state is of no use any more."""

import importlib

import click

COMMANDS = {
    "accept-gap": "pipeline.cli.accept_gap:accept_gap",
    "rebuild": "pipeline.cli.rebuild:rebuild",
}


class _Ways(click.Group):
    """Imports each way only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(module), function)


@click.group(cls=_Ways)
def recover() -> None:
    """Go on where a stage stopped, because a log or a state is not what it must be."""
