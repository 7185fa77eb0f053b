"""The world of all questions."""

from tests.pipeline.questions.conftest import world

__all__ = ["world"]
