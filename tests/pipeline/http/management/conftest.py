"""What the tests of the management API share."""

from collections.abc import Iterator

import pytest

from tests.conftest import deployed
from tests.pipeline.http.management.api import Api
from tests.pipeline.http.server import serving
from tests.pipeline.shop import Shop


@pytest.fixture(scope="module")
def api(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API over a shop of its own, for the tests of a module."""
    directory = tmp_path_factory.mktemp("shop")
    with deployed(broker, directory / "data") as settings:
        Shop(directory / "configs", settings).apply()
        with serving(settings, is_open=False) as server:
            yield Api(settings, server.address)
