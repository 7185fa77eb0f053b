"""Flags: what each deployment is served, by the newest state of the catalog."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from time import monotonic
from typing import Any, TypeVar

import msgspec

from evaluation.catalog.configs import cohorts_of, flag_configs
from evaluation.catalog.in_force import SETTLING, Catalog
from evaluation.catalog.references import OFF
from evaluation.flags.cohorts import Cohorts
from evaluation.flags.compiled import Answer
from evaluation.flags.engine import Flags
from evaluation.flags.graph import needed_for
from evaluation.flags.paths import unit_selector
from evaluation.flags.values import Selector
from schemas.catalog import Breakdown, Flag
from schemas.flag_config import FlagConfig, SegmentConfig, VariantConfig

ON = "on"  # the one variant of a flag that is true or false
SKEW_SECONDS = 0.1  # between the broker's clock and ours, within a second

SERVED = ("flags", "groups", "cohorts", "deployments")  # what of a catalog is

Made = TypeVar("Made")


class ServedFlags:
    """The flags of one deployment at one state of the catalog; `deployment` None: of all of them.

    A client, whose key anybody may see, is shown no rules: they name users.
    """

    def __init__(self, catalog: Catalog, cohorts: Cohorts, deployment: str | None, is_client: bool) -> None:
        self.deployment = deployment
        configs = {config.key: config for config in flag_configs(catalog)}
        self.keys = {key: None for key, config in configs.items() if key in catalog.flags and self._serves(config)}
        needed = needed_for([*self.keys], {key: config.dependencies or () for key, config in configs.items()})
        wanted = [_marked(config, key in self.keys) for key, config in configs.items() if key in needed]
        self.flags = Flags(wanted, cohorts=cohorts)
        self._decides = wanted, {key: cohort.version for key, cohort in catalog.cohorts.items()}
        self._shown = [_stub(config) for config in wanted if config.key in self.keys] if is_client else wanted
        served = {key: catalog.flags[key] for key in self.keys}
        self.sticky: dict[str, tuple[str, Selector]] = {  # the run, and where a context has its unit
            key: (flag.runs[-1].key, unit_selector(flag.definition.unit))
            for key, flag in served.items()
            if flag.status == "running" and flag.allocation is not None and flag.allocation.sticky
        }
        self.breakdowns: dict[str, tuple[Breakdown, ...]] = {
            key: flag.runs[-1].definition.breakdowns for key, flag in served.items() if flag.status == "running"
        }
        self.values = {key: _values(flag.definition) for key, flag in served.items()}
        units = {key: flag.definition.unit for key, flag in catalog.flags.items()}
        units |= {key: group.definition.unit for key, group in catalog.groups.items()}
        parents = {config.key: config.dependencies or () for config in wanted}
        self.units = {  # of the flag and of all that it depends on: who lacks one of them may miss an answer
            key: sorted({units[each] for each in needed_for([key], parents)}) for key in self.keys
        }
        self.changed = catalog.append_time  # ms UTC
        self._parents = len(wanted) - len(self.keys)  # that are evaluated, but not served
        self._made: defaultdict[Callable[..., object], dict[int, Any]] = defaultdict(dict)

    @cached_property
    def version(self) -> str:
        """Another one wherever an answer may be another, whether or not what is shown of the flags is."""
        return digest(msgspec.json.encode(self._decides))

    @cached_property
    def json(self) -> bytes:
        """The configurations, as SDKs read them."""
        return msgspec.json.encode(self._shown)

    def json_of(self, keys: Sequence[str]) -> bytes:
        """Those of some flags, and of what they depend on."""
        needed = needed_for(keys, {config.key: config.dependencies or () for config in self._shown})
        return msgspec.json.encode([config for config in self._shown if config.key in needed])

    def evaluate(self, user: Mapping[str, object], keys: Sequence[str] | None = None) -> dict[str, Answer]:
        """What the flags that are served yield for a user; `keys` names some of them."""
        answers = self.flags.evaluate(user, keys)
        return {key: each for key, each in answers.items() if key in self.keys} if self._parents else answers

    def each(self, make: Callable[["ServedFlags", str, Answer], Made], answers: Mapping[str, Answer]) -> list[Made]:
        """What is made of each flag's answer; made once, as an answer is one of few, and lives as long as the flags."""
        made = self._made[make]
        try:
            return [made[id(answer)] for answer in answers.values()]
        except KeyError:
            made |= {id(answer): make(self, key, answer) for key, answer in answers.items()}
            return [made[id(answer)] for answer in answers.values()]

    def encode(self, answers: Mapping[str, Answer]) -> bytes:
        """The answers as JSON, by flag: key, value, payload, metadata."""
        return b"{%b}" % b",".join(self.each(_member, answers))

    def _serves(self, config: FlagConfig) -> bool:
        deployments = (config.metadata or {}).get("deployments")
        return not deployments or self.deployment is None or self.deployment in deployments


class FlagMemory:
    """What is served now."""

    def __init__(self) -> None:
        self._catalog = Catalog()
        self._cohorts = Cohorts()
        self._served: dict[tuple[str | None, bool], ServedFlags] = {}
        self.settled_at = 0.0  # (`monotonic`) when it is in force for whatever is appended from then on

    def take(self, catalog: Catalog) -> bool:
        """The catalog has changed. False: nothing of it that is served, as a comment does."""
        if all(getattr(catalog, part) is getattr(self._catalog, part) for part in SERVED):
            return False
        if catalog.cohorts is not self._catalog.cohorts:
            self._cohorts = cohorts_of(catalog)
        self._catalog = catalog
        self._served = {}
        self.settled_at = monotonic() + SETTLING / 1_000 + SKEW_SECONDS
        return True

    def join(self, context: dict[str, Any]) -> None:
        """Add to a context the cohorts to which its units belong."""
        self._cohorts.join(context)

    async def settled(self) -> None:
        """Return when every version that was served is in force, so that exposures which name it are taken."""
        await asyncio.sleep(max(0.0, self.settled_at - monotonic()))

    def of(self, deployment: str | None, is_client: bool) -> ServedFlags:
        """The flags of a deployment; of all where None."""
        found = self._served.get((deployment, is_client))
        if found is None:
            found = ServedFlags(self._catalog, self._cohorts, deployment, is_client)
            self._served[deployment, is_client] = found
        return found

    def of_name(self, name: str | None) -> ServedFlags:
        """On an open server, where a deployment's own name is its key: its flags; all where there is no such one."""
        deployment = self._catalog.deployments.get(name or "")
        if deployment is None:
            return self.of(None, is_client=False)
        return self.of(name, deployment.definition.type == "client")


def digest(text: bytes) -> str:
    """What stands for a text when it is asked whether it is another."""
    return blake2b(text, digest_size=16).hexdigest()


def _member(_: ServedFlags, key: str, answer: Answer) -> bytes:
    metadata = answer.metadata | ({"reason": answer.reason} if answer.reason == "no unit" else {})
    parts = {"key": answer.key, "value": answer.value, "payload": answer.payload, "metadata": metadata}
    return msgspec.json.encode({key: {name: part for name, part in parts.items() if part is not None}})[1:-1]


def _values(flag: Flag) -> dict[str, Any]:
    """What OpenFeature's clients are told of each variant: always a value, and of one type where all payloads are.

    A variant without payload, `off` among them, has that type's empty value; of texts, or of several types, its key.
    Where one number has decimal places, all have: to some clients 1 is no such number, but 1.0 is.
    """
    payloads = {variant.key: variant.payload for variant in flag.variants} | {OFF: None}
    if any(isinstance(each, float) for each in payloads.values()):
        payloads = {
            key: float(each) if type(each) is int and abs(each) <= 1 << 53 else each for key, each in payloads.items()
        }
    blanks = [_blank(each) for each in payloads.values() if each is not None]
    if not blanks and [*payloads] == [ON, OFF]:
        return {ON: True, OFF: False}
    blank = blanks[0] if blanks and all(type(each) is type(blanks[0]) for each in blanks) else None
    without = {key: key if blank is None else blank for key in payloads}
    return {key: without[key] if payload is None else payload for key, payload in payloads.items()}


def _blank(payload: object) -> object:
    match payload:
        case bool():
            return False
        case int():
            return 0
        case float():
            return 0.0
        case dict():
            return {}
        case list():
            return []
    return None


def _marked(config: FlagConfig, is_served: bool) -> FlagConfig:
    metadata = {name: value for name, value in (config.metadata or {}).items() if name != "deployments"}
    return msgspec.structs.replace(config, metadata=metadata if is_served else metadata | {"deployed": False})


def _stub(config: FlagConfig) -> FlagConfig:
    """A flag that says no more than that the server must be asked."""
    return FlagConfig(
        key=config.key,
        variants={OFF: VariantConfig(key=OFF, metadata={"default": True})},
        segments=(SegmentConfig(variant=OFF, metadata={"segmentName": "default"}),),
        metadata=(config.metadata or {}) | {"evaluationMode": "remote"},
    )
