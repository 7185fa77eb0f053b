"""What the tests of the server share."""

from collections.abc import Iterator

import pytest

from pipeline.settings import Settings
from tests.conftest import deployed
from tests.pipeline.http.catalog import publish
from tests.pipeline.http.management.api import Api
from tests.pipeline.http.server import Server, serving
from tests.pipeline.shop import Shop


@pytest.fixture
def server(deployment: Settings) -> Iterator[Server]:
    """A server over the test's deployment."""
    with serving(deployment) as running:
        yield running


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A deployment with the documents of the tests' catalog, for the tests of a module."""
    with deployed(broker, tmp_path_factory.mktemp("shop")) as settings:
        publish(settings)
        yield settings


@pytest.fixture(scope="module")
def open_server(shop: Settings) -> Iterator[Server]:
    """A server over it, without keys."""
    with serving(shop) as running:
        yield running


@pytest.fixture(scope="module")
def api(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API over a shop of its own, for the tests of a module."""
    directory = tmp_path_factory.mktemp("shop")
    with deployed(broker, directory / "data") as settings:
        Shop(directory / "configs", settings).apply()
        with serving(settings, is_open=False) as server:
            yield Api(settings, server.address)
