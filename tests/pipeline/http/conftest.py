"""What the tests of the server share."""

from collections.abc import Iterator

import pytest

from pipeline.settings import Settings
from tests.pipeline.http.server import Server, serving


@pytest.fixture
def server(deployment: Settings) -> Iterator[Server]:
    """A server over the test's deployment."""
    with serving(deployment) as running:
        yield running
