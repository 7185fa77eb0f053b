"""Mutation: a pytest plugin that puts a fault into one module of the sources while it is imported.

PEEKPROOF_MUTANT is a JSON array: the module, a text of it, and what shall stand there instead. The modules of the
metrics are then plain Python: their compiler would take longer than the tests do. Fields of their tables are then read
by items, which takes a fifth of the time of numpy's own attributes.
"""

import json
import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from operator import itemgetter
from types import CodeType, ModuleType

import numpy as np

MODULE, RIGHT, WRONG = json.loads(os.environ["PEEKPROOF_MUTANT"])
COMPILED = "from numba import njit\n"
PLAIN = "def njit(**_):\n    return lambda kernel: kernel\n"
SHARED, OWN = "evaluation.columns.hash_table", "evaluation.metrics.hash_table"  # other kernels go on calling theirs
RECORD = "(np.record, "
FAST = '(__import__("tests.evaluation.mutation").evaluation.mutation.record(fields), '


def record(fields: tuple[str, ...]) -> type[np.void]:
    """A row whose fields are attributes, as those of np.record are."""

    def field(name: str) -> property:
        return property(itemgetter(name), lambda row, value: row.__setitem__(name, value))

    return type("Record", (np.void,), {name: field(name) for name in fields})


class _Mutated(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        if fullname.startswith("evaluation.metrics."):
            source = source.replace(COMPILED, PLAIN).replace(f"from {SHARED} import", f"from {OWN} import")
        if fullname == "evaluation.metrics.layouts":
            source = source.replace(RECORD, FAST)
        if fullname == MODULE:
            assert RIGHT in source, f"{MODULE} has changed: the mutant needs another text than {RIGHT!r}"
            source = source.replace(RIGHT, WRONG)
        return compile(source, self.get_filename(fullname), "exec")


class _Finder(PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path=None, target: ModuleType | None = None) -> ModuleSpec | None:  # type: ignore[no-untyped-def]
        if not fullname.startswith("evaluation."):
            return None
        if fullname == OWN:
            found = super().find_spec(SHARED, import_module("evaluation.columns").__path__)
            return spec_from_loader(OWN, _Mutated(OWN, found.origin)) if found and found.origin else None
        spec = super().find_spec(fullname, path, target)
        if spec and spec.origin and spec.origin.endswith(".py"):
            spec.loader = _Mutated(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder)
