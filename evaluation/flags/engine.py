"""Engine: which variant of each flag a context gets, and why, bucket for bucket as Amplitude's engines answer.

Theory of operation. A flag's segments are asked in order, and the first that yields a variant decides. Conditions and
buckets read what stands at a selector, as a subject or a text (see values.py); what is found is kept, so that it is
read once, however many flags ask for it. All that a flag can answer is known beforehand, so an answer is one of its
*outcomes*. Flags come after those they depend on, and what stands at a selector that begins with `result` is known as
soon as the flag that it names has its outcome.

With h = murmur3_x86_32(`salt/text`): h % 100 chooses the allocation, h // 100 the variant within it.

Of one context a value is found, by a function written out for each flag (see choices.py); slices.py does the same for
the columns of many.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from mmh3 import mmh3_32_uintdigest as murmur3

from evaluation.flags.choices import UNREAD, Choice, choice_of
from evaluation.flags.cohorts import Cohorts
from evaluation.flags.compiled import Answer, CompiledFlag, Compiler
from evaluation.flags.conditions import ConditionError
from evaluation.flags.graph import in_order, needed_for
from evaluation.flags.users import context_of
from evaluation.flags.values import Selector, select
from schemas.flag_config import FlagConfig


class Problem(msgspec.Struct, frozen=True):
    """A flag that cannot be answered (`flag`, its key), and why (`reason`). As a text it is a sentence of both.

    For example:

        for problem in load_flags("configs").problems:
            print(problem)
    """

    flag: str
    reason: str

    def __str__(self) -> str:
        return f"flag '{self.flag}': {self.reason}"


class HashedUnit(msgspec.Struct, frozen=True):
    """What a flag's hash makes of a unit: `percent`, from 0 to 99, chooses whether it is in at a rollout.

    `share`, from 0 to 42,949,672, chooses the variant. `unit` is the text that is hashed.
    """

    unit: str
    percent: int
    share: int


class Flags:
    """Flags, ready to be evaluated: made by `load_flags`, or of a text by `Flags.read`.

    `problems` lists those that cannot be answered; they yield nothing. Evaluating changes nothing, so threads may share
    one. What changes at the source is not seen: load again, and put the new flags in the place of the old.

    For example:

        flags = Flags.read(json)
        flags.evaluate({"user_id": "ann", "user_properties": {"plan": "pro"}})
    """

    def __init__(
        self, configs: Iterable[FlagConfig], problems: Iterable[Problem] = (), cohorts: Cohorts | None = None
    ) -> None:
        self._cohorts = cohorts or Cohorts()
        self.configs: list[FlagConfig] = []
        self.problems = list(problems)
        compiler = Compiler()
        compiled: dict[str, CompiledFlag] = {}
        for config in configs:
            if config.key in compiled:
                self.problems.append(Problem(config.key, "stands here twice, and the first is used; keep one of them"))
                continue
            try:
                compiled[config.key] = compiler.flag(config)
                self.configs.append(config)
            except ConditionError as error:
                self.problems.append(Problem(config.key, str(error)))
        compiler.link(compiled.values())
        self.dependencies = {config.key: config.dependencies or () for config in self.configs}
        order, cycles = in_order(self.dependencies)
        for cycle in cycles:
            told = f"lies on a cycle of dependencies ({' → '.join([*cycle, cycle[0]])}); break it"
            self.problems += [Problem(key, told) for key in cycle]
        self._order = [compiled[key] for key in order]
        self._rank = {flag.key: rank for rank, flag in enumerate(self._order)}
        self.readings = compiler.readings
        self._blank = [reading.read(None) if reading.is_of_result else UNREAD for reading in self.readings]

    @cached_property
    def _choices(self) -> dict[str, Choice]:
        return {flag.key: choice_of(flag, self.readings) for flag in self._order}

    @classmethod
    def read(cls, flags: bytes | str) -> "Flags":
        """The flags of a JSON array of configurations. Raises ValueError where it is no array.

        For example, of what a server answers:

            flags = Flags.read(urlopen(Request(f"{server}/sdk/v2/flags", headers=key)).read())
        """
        try:
            texts = msgspec.json.decode(flags, type=list[msgspec.Raw])
        except RecursionError:
            raise ValueError("the flags are nested too deeply") from None
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ValueError(f"{error}; flags are a JSON array of flag configurations") from None
        configs, problems = [], []
        for position, text in enumerate(texts):
            try:
                configs.append(msgspec.json.decode(text, type=FlagConfig))
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                reason = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read: {error}"
                problems.append(Problem(_key_of(text, position), reason))
        return cls(configs, problems)

    def write(self) -> bytes:
        """The flags as a JSON array of configurations, as Amplitude's SDKs read it."""
        return msgspec.json.encode(self.configs)

    @property
    def selectors(self) -> set[Selector]:
        """What of a context some flag reads."""
        return {reading.selector for reading in self.readings if not reading.is_of_result}

    def evaluate(self, user: Mapping[str, Any], keys: Sequence[str] | None = None) -> dict[str, Answer]:
        """What each flag yields for a user, given by Amplitude's fields; `keys` names the flags, else all.

        By the flag's key. A flag that is not there, or is one of the `problems`, is not in it. For example:

            user = {"user_id": "ann", "country": "AT", "user_properties": {"plan": "pro"}, "groups": {"org": ["acme"]}}
            answer = flags.evaluate(user, ["dark-mode"]).get("dark-mode")
        """
        context = context_of(user)
        self._cohorts.join(context)
        return self.evaluate_context(context, keys)

    def evaluate_context(self, context: Mapping[str, Any], keys: Sequence[str] | None = None) -> dict[str, Answer]:
        """What each flag yields for an evaluation context: `user`, `groups`, …"""
        target = {"context": context}
        found, choices = self._blank.copy(), self._choices
        answers: dict[str, Answer] = {}
        for flag in self.asked(keys):
            outcome = choices[flag.key](found, target)
            if outcome is not None:
                if outcome.without_unit is not None and self._lacks_unit(flag.key, answers):
                    outcome = outcome.without_unit
                answers[flag.key] = outcome.answer
                for position, value in outcome.read_by_others:
                    found[position] = value
        return answers if keys is None else {key: answers[key] for key in keys if key in answers}

    def bucket(self, user: Mapping[str, Any], key: str) -> HashedUnit | None:
        """Where the unit of a user falls by the hash of a flag; None: it has none, or the flag splits nobody."""
        segments = (segment for flag in self.asked([key]) if flag.key == key for segment in flag.segments)
        salted = next((each for each in segments if each.reading >= 0), None)
        if salted is None:
            return None
        reader = self.readings[salted.reading]
        text = reader.read(select({"context": context_of(user)}, reader.selector))
        if not text:
            return None
        share, percent = divmod(murmur3(f"{salted.salt}/".encode("utf-8", "replace") + text), 100)
        return HashedUnit(unit=text.decode("utf-8", "replace"), percent=percent, share=share)

    def _lacks_unit(self, key: str, answers: Mapping[str, Answer]) -> bool:
        """Whether one that the flag depends on lacked its unit."""
        parents = (answers.get(parent) for parent in self.dependencies[key])
        return any(parent is not None and parent.reason == "no unit" for parent in parents)

    def asked(self, keys: Sequence[str] | None) -> list[CompiledFlag]:
        """These flags (None: all), and those that they depend on, in the order in which they are answered."""
        if keys is None:
            return self._order
        needed = needed_for(keys, self.dependencies)
        return [self._order[rank] for rank in sorted(self._rank[key] for key in needed if key in self._rank)]


def _key_of(text: msgspec.Raw, position: int) -> str:
    """What a configuration that cannot be read is called."""
    try:
        key = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("key")
        return msgspec.json.decode(key or b"", type=str)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return f"[{position}]"
