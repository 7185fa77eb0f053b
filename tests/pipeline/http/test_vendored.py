"""The libraries that the console brings with it: they are what npm has."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[3]
CONSOLE = HOME / "pipeline" / "http" / "console"
VENDORED = {
    "uplot-1.6.32.min.js": "uplot/dist/uPlot.iife.min.js",
    "uplot-1.6.32.min.css": "uplot/dist/uPlot.min.css",
    "uplot-LICENSE": "uplot/LICENSE",
    "preact-11.2.0.mjs": "preact/dist/preact.mjs",
    "preact-hooks-11.2.0.mjs": "preact/hooks/dist/hooks.mjs",
    "preact-LICENSE": "preact/LICENSE",
}


@pytest.mark.parametrize(("name", "origin"), VENDORED.items())
def test_a_vendored_file_is_npms_but_for_where_it_finds_the_other(name: str, origin: str):
    modules = HOME / "node_modules"
    if not modules.exists():
        pytest.skip("npm got nothing: `make setup` tells why")
    theirs = (modules / origin).read_bytes()

    ours = (CONSOLE / "vendor" / name).read_bytes()

    assert ours == theirs.replace(b'from"preact"', b'from"./preact-11.2.0.mjs"')


def test_the_page_takes_no_other_bytes_for_them():
    page = (CONSOLE / "index.html").read_text()
    told = dict(re.findall(r'(?:href|src)="/vendor/([^"]+)"\s+integrity="sha384-([^"]+)"', page))

    digests = {name: hashlib.sha384((CONSOLE / "vendor" / name).read_bytes()).digest() for name in told}

    assert {name for name in VENDORED if Path(name).suffix} == set(told)
    assert told == {name: base64.b64encode(digest).decode() for name, digest in digests.items()}
