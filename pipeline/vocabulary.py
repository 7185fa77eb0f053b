"""Vocabulary: by which signs and words looks and flags are told to people, on a terminal and in the console alike."""

from typing import Literal

import msgspec

from schemas.catalog import FlagStatus, GoalRole, Removal
from schemas.look import Caveat, Decision, Judgement, Method, Prediction, Status

Tone = Literal["good", "bad", "warn", "open", "idle"]


class Sign(msgspec.Struct, frozen=True):
    """A sign, and what it says."""

    sign: str
    says: str


class Mark(Sign, frozen=True):
    """The same, and in which tone; the sign is for those too who see no colour."""

    tone: Tone


DECISIONS: dict[Decision, Mark] = {  # what asks for a person comes first
    "needs attention": Mark("!", "Needs attention", "warn"),
    "roll back": Mark("✘", "Roll back", "bad"),
    "ship": Mark("✔", "Ship", "good"),
    "keep running": Mark("…", "Keep running", "open"),
    "none": Mark("·", "No decision", "idle"),
}
JUDGEMENTS: dict[Judgement, Mark] = {
    "better": Mark("✔", "better", "good"),
    "worse": Mark("✘", "worse", "bad"),
    "safe": Mark("✔", "safe", "good"),
    "harmed": Mark("✘", "harmed", "bad"),
    "open": Mark("…", "open", "open"),
}
PREDICTIONS: dict[Prediction, Mark] = {
    "hit": Mark("✔", "hit", "good"),
    "missed": Mark("✘", "missed", "bad"),
    "open": Mark("…", "still open", "open"),
}
STATUSES: dict[Status, str] = {
    "ok": "",
    "gated": "too few units yet",
    "no data": "no data",
    "zero variance": "all units are equal",
    "withheld": "withheld",
    "unusable": "unusable",
}
METHODS: dict[Method, str] = {
    "sequential": "sequential",
    "t-test": "t-test",
    "bayesian": "Bayesian",
    "exact": "exact, sequential",
    "boschloo": "Boschloo’s test",
}
CAVEATS: dict[Caveat, str] = {
    "open windows": "units still grow: the guarantee of always-valid results is not claimed",
    "heavy tail": "uncapped sum on an unequal split: no guarantee is claimed; give the metric a cap",
}
GOAL_ROLES: dict[GoalRole, Sign] = {  # the sign before such a metric, and what they are called
    "primary": Sign("★", "Primary"),
    "secondary": Sign("", "Secondary"),
    "guardrail": Sign("▲", "Guardrails"),
}
STATES: tuple[FlagStatus | Removal, ...] = ("running", "draft", "complete", "rolled out", "rolled back", "archived")
