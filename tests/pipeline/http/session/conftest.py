"""What the tests of sessions share."""

from collections.abc import Iterator

import pytest

from tests.conftest import deployed
from tests.pipeline.http.server import serving
from tests.pipeline.http.session.people import People
from tests.pipeline.shop import Shop


@pytest.fixture(scope="module")
def people(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """A server that wants keys, over a shop with an experiment, and people who have some."""
    directory = tmp_path_factory.mktemp("people")
    with deployed(broker, directory / "data") as settings:
        Shop(directory / "configs", settings).apply()
        with serving(settings, is_open=False) as server:
            yield People(settings, server.address)
