"""One world for all questions."""

import pytest

from tests.pipeline.questions.world import World, world_of


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two days of an experiment, until about now."""
    return world_of(tmp_path_factory.mktemp("world"))[0]
