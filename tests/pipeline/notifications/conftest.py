"""What tests of handing over share."""

from collections.abc import Iterator

import pytest

from tests.pipeline.notifications.receivers import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found
