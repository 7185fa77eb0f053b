"""`peekproof plan`: what the plan of a flag would do, and what a person does to it."""

import click

from pipeline.cli.flags import step_command
from pipeline.cli.timeline import preview_command, resuming_now
from pipeline.errors import PeekproofError


class _Plan(click.Group):
    """Tells those who ask for a sample's size, as `peekproof plan` once did, where that is told now."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            raise PeekproofError(
                f"plan {args[0]}: `peekproof plan` is about how flags are rolled out: {', '.join(self.commands)}; how "
                f"many units an experiment takes is asked by `peekproof sample-size {args[0]} …`"
            )
        return super().parse_args(ctx, args)


@click.group(cls=_Plan)
def plan() -> None:
    """Preview the plan of a flag, pause it, and let it go on."""


plan.add_command(preview_command)
plan.add_command(step_command("pause", "Take no further step. Of a sticky flag nobody else gets a variant."))
plan.add_command(
    step_command(
        "resume",
        "Go on at the step where it was. Alarms that paused or hold it no longer count.",
        resuming_now,
    )
)
