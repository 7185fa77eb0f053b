"""Front: the first bytes of an upload, where its key is found before anything else of it is read or unpacked.

Every SDK writes `api_key` first.
"""

import re
import zlib
from contextlib import suppress

FRONT = 16_384  # bytes, as they come and unpacked: a shorter upload may have its key anywhere
MOST_KEYS = 8  # that are tried: a property may have that name, too

_JSON = re.compile(rb'"api_key"\s*:\s*"([^"\\]{1,100})"')
_FORM = re.compile(rb"(?:^|&)api_key=([^&]{1,100})")
_KEYS = {"/2/httpapi": _JSON, "/batch": _JSON, "/identify": _FORM, "/groupidentify": _FORM}


def has_key_in_body(path: str) -> bool:
    """Whether uploads to this address say their key themselves."""
    return path in _KEYS


def keys_in(front: bytes, path: str, encoding: bytes) -> list[str]:
    """What may be the key of an upload that begins so."""
    if encoding.strip().lower() == b"gzip":
        with suppress(zlib.error):  # whose key is known hears that it is no gzip
            front = zlib.decompressobj(wbits=31).decompress(front, FRONT)
    return [key.decode("latin-1") for key in _KEYS[path].findall(front[:FRONT])[:MOST_KEYS]]
