"""What the tests of stages share."""

from pathlib import Path

import pytest

from pipeline.settings import Settings
from tests.pipeline.shop import Shop


@pytest.fixture
def shop(deployment: Settings, tmp_path: Path) -> Shop:
    """A deployment whose experiment `button` runs: three documents."""
    shop = Shop(tmp_path / "documents", deployment)
    shop.apply()
    shop.call("experiment", "start", "button")
    return shop
