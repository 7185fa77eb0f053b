"""Commenting: comments, checked and published; the command line and the HTTP API do it by the same functions."""

from evaluation.catalog.history import History
from evaluation.catalog.rules import Violation, did_you_mean
from pipeline.catalog.editing import RefusedError, Signature, state_of
from pipeline.catalog.topic import CatalogWriter
from pipeline.catalog.types import kind_of, type_violations
from schemas.comment import Comment


def check_comment(said: Comment, history: History) -> None:
    """Raises RefusedError for a comment on what is not there, or without a text that one may say."""
    runs, metrics = [each.key for each in state_of(history, said.key).runs], history.newest.metrics
    wrong = [*type_violations(said.text or "", kind_of(Comment, "text"), ("text",))]
    if said.run is not None and said.run not in runs:
        wrong.append(Violation(("run",), f"'{said.key}' has no run '{said.run}'; {did_you_mean(said.run, runs)}"))
    if said.look is not None and said.run is None:
        wrong.append(Violation(("look",), f"look {said.look} is of a run; say which"))
    if said.metric is not None and said.metric not in metrics:
        told = f"'{said.metric}' is no metric; {did_you_mean(said.metric, metrics)}"
        wrong.append(Violation(("metric",), told))
    if wrong:
        raise RefusedError("\n".join(map(str, wrong)), wrong)


async def publish_comment(writer: CatalogWriter, said: Comment, signature: Signature) -> int:
    """Publish it as the next version, and return that, whatever others say meanwhile: none rests on the one before.

    Raises what `CatalogWriter.publish` raises.
    """
    document = await writer.publish_after_others(lambda: writer.next_version(said, signature.author, signature.reason))
    return document.version
