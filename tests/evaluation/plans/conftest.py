"""What the tests of plans share: a flag with a plan as the catalog holds it, and looks that say what they are told."""

from datetime import datetime

import msgspec
import pytest

from evaluation.catalog import lifecycle
from evaluation.catalog.history import History
from evaluation.catalog.in_force import FlagInForce
from schemas.catalog import Analysis, Document, Flag, FlagState, Goal, Metric, Segment, Variant
from schemas.look import ArmHealth, ArmVerdict, Cell, Decision, Health, Look, Verdict
from schemas.numbers import LATEST
from schemas.plan import Evidence, Plan

TREATMENTS = ("blue", "red")
METRICS = {"orders": "3s", "fails": "3s", "slow": "none"}


def at(text: str) -> int:
    """ms UTC of a time that says its offset, or is in UTC."""
    return int(datetime.fromisoformat(text if "+" in text else f"{text}+00:00").timestamp()) * 1_000


class Stage:
    """A catalog with one flag, edited as commands and the plan's stage edit it."""

    def __init__(self, plan: dict | None, *, time: int = 0, **flag: object) -> None:
        self.history = History()
        self.written: list[tuple[int, bytes]] = []  # every record of the catalog, and when it was appended
        for key, window in METRICS.items():
            self._append("metric", Metric(key=key, owner="o", type="conversion", event="e", window=window), 1, time)
        goals = (
            Goal(metric="orders", role="primary"),
            Goal(metric="fails", role="guardrail", direction="decrease", margin=0.1),
            Goal(metric="slow", role="guardrail", direction="decrease", margin=0.1),
        )
        fields = {
            "key": "basket",
            "owner": "o",
            "variants": tuple(Variant(key=key) for key in ("control", *TREATMENTS)),
            "segments": (Segment(name="beta"),),
            "metrics": goals,
            "analysis": Analysis(),
            "plan": plan and msgspec.convert(plan, Plan),
        }
        self.state: FlagState | None = None
        self.write(FlagState(definition=Flag(**fields | flag)), time)

    @property
    def flag(self) -> FlagInForce:
        """As it is in force."""
        return self.history.newest.flags["basket"]

    @property
    def version(self) -> int:
        """The next one."""
        return self.flag.version + 1 if "basket" in self.history.newest.flags else 1

    def start(self, time: int) -> "Stage":
        """By hand."""
        return self.write(lifecycle.start(self.state, self.version, "s"), time)

    def do(self, step: object, time: int, *args: object, **fields: object) -> "Stage":
        """A function of lifecycle.py."""
        return self.write(step(self.state, self.version, *args, **fields), time)

    def evidence(self, time: int, look: Look | None = None) -> Evidence:
        """What the next version rests on."""
        return Evidence(version=self.version, time=time, run=look and look.run, look=look and look.look)

    def write(self, state: FlagState, time: int) -> "Stage":
        """Append a version."""
        self._append("flag", state, self.version, time)
        assert not self.history.rejected, self.history.rejected
        self.state = state
        return self

    def redefine(self, metric: str, time: int) -> "Stage":
        """Let a metric measure another event."""
        said = Metric(key=metric, owner="o", type="conversion", event="another", window=METRICS[metric])
        self._append("metric", said, 2, time)
        return self

    def _append(self, kind: str, spec: object, version: int, time: int) -> None:
        key = spec.definition.key if isinstance(spec, FlagState) else spec.key
        raw = msgspec.Raw(msgspec.json.encode(spec))
        said = {"kind": kind, "key": key, "version": version, "base": version - 1, "author": "a", "reason": "r"}
        self.written.append((time, msgspec.json.encode(Document(**said, time=time, spec=raw))))
        self.history.append(self.history.newest.offset, *self.written[-1])


def make_cell(metric: str, variant: str, judgement: str | None, **fields: object) -> Cell:
    """A cell that is judged so."""
    window = METRICS[metric]
    said = {
        "metric": metric,
        "metric_version": 1,
        "variant": variant,
        "control": "control",
        "reading": "live" if window == "none" else "settled",
        "segment": "all",
        "method": "sequential",
        "alternative": "two-sided",
        "status": "ok",
        "judgement": judgement,
        "caveat": "open windows" if window == "none" else None,
        "running_lower": 0.002,
        "running_upper": 0.02,
        "relative_estimate": 0.1,
        "running_relative_lower": 0.02,
        "running_relative_upper": 0.2,
        "running_p_value": 0.03,
    }
    counts = dict.fromkeys(("n", "nonzero", "sum", "sum_squares"), 10)
    control = {f"control_{name}": count for name, count in counts.items()}
    return Cell(**counts, **control, scale=0, **said | fields)


def make_look(
    cells: tuple[Cell, ...] = (),
    *,
    units: int = 0,
    split: float | None = None,
    ships: tuple[str, ...] = (),
    decision: Decision | None = None,
    **fields: object,
) -> Look:
    """A look with these cells; `split` is the p-value of the split, `ships` are the treatments that have won."""
    arms = [ArmHealth(variant, units if variant == "control" else 0, 1 / 3) for variant in ("control", *TREATMENTS)]
    verdicts = [ArmVerdict(each, "ship" if each in ships else "none", "because") for each in TREATMENTS]
    said = {"experiment": "basket", "run": "exp-1", "look": 7, "revision": 1, "time": LATEST, "catalog_version": 4}
    return Look(
        **said | fields,
        offsets={"0": 12, "1": 15},
        health=Health(arms=arms, srm_running_p_value=split),
        verdict=Verdict(decision or ("ship" if ships else "none"), "So it is.", arms=verdicts),
        cells=[*cells],
    )


HOUR = 3_600_000
MONDAY = at("2026-03-02T08:00")
RAMP = {
    "steps": [
        {"rollout": 1, "for": "1h"},
        {"rollout": 10, "for": "24h", "until": {"units": 5_000, "safe": ["fails"]}},
        {"rollout": 50},
    ],
    "on_harm": "roll back",
    "on_broken_split": "pause",
}


@pytest.fixture(scope="session")
def staged():
    """The function that makes a catalog with one flag."""
    return Stage


@pytest.fixture(scope="session")
def look_of():
    """The function that makes a look."""
    return make_look


@pytest.fixture(scope="session")
def cell_of():
    """The function that makes a cell."""
    return make_cell


@pytest.fixture
def ramping(staged):
    """A flag whose plan has come to a step, at a time."""

    def ramping(plan=RAMP, step=1, time=MONDAY, **flag):
        stage = staged(plan, **flag).start(time)
        for number in range(2, step + 1):
            stage.do(lifecycle.take_step, time, number)
        return stage

    return ramping
