"""`peekproof replay`: is every published look what the archived log says, and everything that plans did?"""

import sys
from collections import Counter
from collections.abc import Sequence

import click
import msgspec

from pipeline.cli.progress import progress
from pipeline.cli.terminal import harmless
from pipeline.errors import PeekproofError
from pipeline.kafka.set_aside import SetAside
from pipeline.offline.plan_steps import ExplainedStep, explained_steps
from pipeline.offline.replay import Replay
from pipeline.settings import Settings
from schemas.look import RULES


@click.command()
@click.option("--json", "as_json", is_flag=True, help="What became of every look, as one JSON document.")
def replay(as_json: bool) -> None:
    """Fold the archived log again, without a broker, and compare every published look byte for byte.

    Every step that a plan took by itself is asked for once more, by the look on which it rested. Exit code 1 if a look
    or a step is different. Looks that another version made, by other rules, are counted by what differs first.
    """
    directory = Settings.read().data / "archive"
    if not directory.is_dir():
        raise PeekproofError(
            f"there is no archive in '{directory}'; its worker begins one, and PEEKPROOF_DATA names another directory: "
            "after a demo PEEKPROOF_DATA=data/demo"
        )
    aside = SetAside(tell=lambda text: click.echo(harmless(text), err=True))
    work = Replay(directory, aside)
    outcomes, of_other_rules = Counter[str](), Counter[str]()
    replayed = []  # of millions of looks, what is shown
    with progress("folding the log again", total=work.messages) as tell:
        for each in work:
            outcomes[each.outcome] += 1
            if each.outcome == "of other rules" and each.field:
                of_other_rules[each.field] += 1
            if as_json or each.outcome == "different":
                replayed.append(each)
            tell(work.folded)
    looks = outcomes.total()
    steps = explained_steps(directory, aside)
    if as_json:
        told_looks = {"looks": looks, "outcomes": outcomes, "replayed": replayed}
        click.echo(msgspec.json.encode(told_looks | {"steps": steps}))
    else:
        for each in replayed:
            click.echo(
                f"{each.experiment}/{each.run} look {each.look} is different: {each.field} was published as "
                f"{each.published}, the log says {each.replayed}"
            )
        for field, number in of_other_rules.most_common():
            click.echo(
                f"{number} looks of other rules (ours: {RULES}) say something else of {field} first: the version that "
                "made them replays them"
            )
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        click.echo(
            f"{looks} published looks: {told}" if looks else f"the archive in '{directory}' holds no published look yet"
        )
        _tell_steps(steps)
    if outcomes["different"] or any(step.outcome == "different" for step in steps):
        sys.exit(1)


def _tell_steps(steps: Sequence[ExplainedStep]) -> None:
    for step in steps:
        rests_on = f" by look {step.look} of {step.run}" if step.look else ""
        says = f"; the plan says: {step.says}" if step.says else ""
        click.echo(f"{step.flag} version {step.version}: {step.did}{rests_on}: {step.outcome}{says}")
