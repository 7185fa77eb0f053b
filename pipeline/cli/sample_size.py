"""`peekproof sample-size`: how many units and days an experiment takes, before it starts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any

import click
import msgspec

from evaluation.catalog.in_force import MetricInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.significance.sample_size import (
    POWER,
    SampleSize,
    Supply,
    UnitsNeeded,
    baseline_fault,
    power_curves,
    sample_sizes,
)
from pipeline.catalog.documents import read_documents
from pipeline.cli.plot import plot_option
from pipeline.cli.terminal import Fitted, Terminal, TerminalColumn
from pipeline.errors import PeekproofError
from pipeline.offline.planning import PLAIN, plain, with_effect
from pipeline.pictures.drawing import write
from pipeline.pictures.powers import powers
from schemas.catalog import Baseline, Flag, Metric

TOLD_POWER = 0.02  # of power, from which on it is told that there is less of it


class _Share(click.ParamType):
    """A number, or a percentage: 0.05 or 5%."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return _number(value) if isinstance(value, str) else float(value)
        except ValueError:
            self.fail(f"'{value}' is no number; write 0.05 or 5%", param, ctx)


def _number(text: str) -> float:
    """Raises ValueError."""
    number = float(text.rstrip().removesuffix("%"))
    if not isfinite(number):
        raise ValueError(text)
    return number / 100.0 if text.rstrip().endswith("%") else number


class _Effect(_Share):
    """The same, but from 100 % on a percentage alone: 5 may be meant as 5 %."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if isinstance(value, str) and abs(number) >= 1.0 and not value.rstrip().endswith("%"):
            plain = value.strip()
            self.fail(
                f"{plain} is {number:+.0%}; write {plain}% or {number / 100:g}, or {100 * number:g}% if you mean it",
                param,
                ctx,
            )
        return number


@click.command()
@click.argument("experiment", required=False)
@click.option(
    "--catalog", type=click.Path(path_type=Path), default=Path("configs"), metavar="DIR", help="Default: configs."
)
@click.option(
    "--baseline", "means", multiple=True, metavar="[METRIC=]MEAN", help="Of a unit of control: 0.12 of a conversion."
)
@click.option(
    "--deviation",
    "deviations",
    multiple=True,
    metavar="[METRIC=]SD",
    help="Its standard deviation; not of conversions.",
)
@click.option("--effect", type=_Effect(), help="The relative effect to be seen, 0.05 or 5%; by default the document's.")
@click.option("--traffic", type=click.FloatRange(min=0, min_open=True), help="Units that meet it per day, for days.")
@click.option("--units", type=click.IntRange(min=1), help="Units of all variants at hand: what can they show?")
@click.option("--power", type=_Share(), default=POWER, show_default=True, help="The chance to see, from 0.05 to 0.999.")
@click.option("--arms", type=click.IntRange(min=2), help="Variants of equal weight, control among them. Default: 2.")
@plot_option
@click.option("--json", "as_json", is_flag=True, help="One JSON array, a comparison each.")
def sample_size(
    *,
    experiment: str | None,
    catalog: Path,
    means: Sequence[str],
    deviations: Sequence[str],
    effect: float | None,
    traffic: float | None,
    units: int | None,
    power: float,
    arms: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """How many units and days it takes to see an effect, by a single t-test and by the sequential test.

    Of EXPERIMENT, a document of DIR, by its goals, weights and analysis; what has no baseline there gets one here.
    Or of an experiment that has no document yet: peekproof sample-size --baseline 0.12 --effect 0.05 --traffic 20000.
    """
    if not 0.05 <= power <= 0.999:
        raise PeekproofError(f"--power {power:g}: it is a chance, from 0.05 to 0.999")
    if traffic is not None and not isfinite(traffic):
        raise PeekproofError(f"--traffic {traffic:g}: units per day are a number above 0; leave it out where unknown")
    if experiment is None:
        missing = [name for name, value in (("--baseline", means), ("--effect", effect)) if not value and value != 0.0]
        if missing:
            raise PeekproofError(
                f"{' and '.join(missing)} missing: an experiment without a document needs --baseline and --effect"
            )
        assert effect is not None
        flag, metrics = plain(effect, arms or 2, is_conversion=not deviations)
    else:
        if arms is not None:
            raise PeekproofError(
                f"--arms {arms}: the document of '{experiment}' says what its variants are; leave it out"
            )
        flag, metrics = _documented(catalog, experiment, effect)
    baselines = _baselines(flag, metrics, means, deviations)
    if experiment is None:  # of which the baseline is as good as a document's
        analysis = msgspec.structs.replace(flag.analysis, baseline=baselines[PLAIN])
        flag = msgspec.structs.replace(flag, analysis=analysis)
    found = list(sample_sizes(flag, metrics, baselines, power, Supply(traffic, units)))
    if not found:
        raise PeekproofError(
            f"'{flag.key}' has no goal with both an effect to see and a baseline; give the primary goal a "
            "minimum_effect (or --effect) and --baseline MEAN"
        )
    for each in found:
        if metrics[each.metric].definition.is_conversion and not 0.0 < each.mean * (1.0 + each.effect) < 1.0:
            raise PeekproofError(
                f"a rate of {each.mean:g} cannot change by {each.effect:+.0%} ('{each.metric}'); effects are relative: "
                "0.05 is five per cent of the baseline"
            )
    if plot:
        write(powers(found, [*power_curves(flag, metrics, baselines, power)]), plot)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    console = Terminal(200)
    for _, treatments in groupby(found, key=lambda each: each.metric):
        _show(flag, list(treatments), console)
    if unplanned := [goal.metric for goal in flag.metrics if goal.metric not in {each.metric for each in found}]:
        console.print(
            f"not planned: {', '.join(unplanned)}; it takes an effect to see, of a guardrail a margin, and a baseline"
        )


def _documented(catalog: Path, experiment: str, effect: float | None) -> tuple[Flag, dict[str, MetricInForce]]:
    documents = read_documents(catalog)
    if experiment not in documents.flags:
        raise PeekproofError(f"'{experiment}' is no experiment; {did_you_mean(experiment, documents.flags)}")
    flag = documents.flags[experiment].definition
    if effect is not None:
        flag = with_effect(flag, effect)
    return flag, {key: MetricInForce(source.definition, 1, 0) for key, source in documents.metrics.items()}


def _baselines(
    flag: Flag, metrics: Mapping[str, MetricInForce], means: Sequence[str], deviations: Sequence[str]
) -> dict[str, Baseline]:
    """By metric: the document's of its primary metric, and those of the options. Raises where they cannot be used."""
    primary = next((goal.metric for goal in flag.metrics if goal.role == "primary"), None)
    goals = [goal.metric for goal in flag.metrics]
    of_options = _numbers("--baseline", means, goals, primary)
    spread = _numbers("--deviation", deviations, goals, primary)
    if alone := spread.keys() - of_options.keys():
        raise PeekproofError(f"--deviation of '{min(alone)}' says nothing without its mean: --baseline {min(alone)}=…")
    baselines = {primary: flag.analysis.baseline} if primary and flag.analysis.baseline else {}
    baselines |= {metric: Baseline(mean=mean, deviation=spread.get(metric)) for metric, mean in of_options.items()}
    for metric, baseline in baselines.items():
        if fault := baseline_fault(metrics[metric].definition, baseline):
            raise PeekproofError(fault + _way_out(metric, metrics[metric].definition, baseline))
    return baselines


def _way_out(metric: str, definition: Metric, baseline: Baseline) -> str:
    if definition.is_conversion and metric == PLAIN:
        return f"; of a mean per unit give its standard deviation too: --deviation {metric}=…"
    return f": --deviation {metric}=…" if not definition.is_conversion and baseline.deviation is None else ""


def _numbers(option: str, given: Iterable[str], metrics: Sequence[str], primary: str | None) -> dict[str, float]:
    """By metric; one that is not named is the primary one."""
    numbers = {}
    for each in given:
        named, _, number = each.rpartition("=")
        metric = named or primary or ""
        if metric not in metrics:
            raise PeekproofError(f"{option} {each}: no goal is of '{metric}'; {did_you_mean(metric, metrics)}")
        try:
            numbers[metric] = _number(number)
        except ValueError:
            raise PeekproofError(f"{option} {each}: '{number}' is no number; write [METRIC=]NUMBER") from None
    return numbers


def _show(flag: Flag, treatments: Sequence[SampleSize], console: Terminal) -> None:
    """A table of one metric."""
    first = treatments[0]
    sides = "two-sided" if first.sides == 2 else "one-sided"
    what = "to rule out a harm of" if first.role == "guardrail" else "to see"
    console.print(
        f"{first.metric} ({first.role}): {what} {first.effect:+.3g} x {first.mean:g}, power {first.target:.0%}, "
        f"alpha {first.alpha:.3g}, {sides}"
    )
    needs = [each for treatment in treatments for each in (treatment.fixed, treatment.sequential)]
    names = TerminalColumn("", 0, [name for each in treatments for name in (each.treatment, "")])
    tests = TerminalColumn("test", 1, ["t-test, once", "sequential"] * len(treatments))
    columns = [TerminalColumn(title, rank, list(map(cell, needs)), "right") for title, (rank, cell) in _COLUMNS.items()]
    console.print(Fitted([names, tests, *columns]))
    if flag.plan and first.fixed.days is not None:
        console.print(f"days count with a rollout of {first.rollout} %, as the last step of its plan gives")
    for each in treatments:
        if each.exact_power is not None and each.exact_power < each.target - TOLD_POWER:
            console.print(
                f"{each.treatment}: with {each.fixed.control:,} + {each.fixed.treatment:,} units Boschloo's test, by "
                f"which rates are read, sees it with a chance of {each.exact_power:.0%}: so few are a lower bound"
            )
        if each.role == "primary":
            console.print(f"N* of {each.treatment}: {each.planned_units:,}; recommended {each.recommended_units:,}")
    console.print()


# By their ranks: what goes last where a terminal is narrow.
_COLUMNS: dict[str, tuple[int, Callable[[UnitsNeeded], str]]] = {
    "control": (7, lambda needs: f"{needs.control:,}"),
    "treatment": (6, lambda needs: f"{needs.treatment:,}"),
    "all variants": (2, lambda needs: f"{needs.total:,}"),
    "days": (3, lambda needs: "-" if needs.days is None else f"{needs.days:,.1f}"),
    "power at hand": (4, lambda needs: "-" if needs.power is None else f"{needs.power:.0%}"),
    "effect at hand": (5, lambda needs: "-" if needs.minimum_effect is None else f"{needs.minimum_effect:.2%}"),
}
