"""`peekproof comment` and `comments`: what people say about a flag or an experiment."""

import asyncio

import click
import msgspec

from evaluation.catalog.comments import CommentTold, comments_of
from pipeline.catalog.commenting import check_comment, publish_comment
from pipeline.catalog.editing import Signature, state_of
from pipeline.catalog.topic import opened, read_catalog
from pipeline.cli.documents import author_option, json_option
from pipeline.cli.terminal import harmless, told_utc
from pipeline.settings import Settings
from schemas.comment import Comment


@click.command()
@click.argument("key")
@click.argument("text")
@click.option("--run", default=None, help="The run that it is about.")
@click.option("--look", type=click.IntRange(min=1), default=None, help="The look at that run.")
@click.option("--metric", default=None, help="The metric that it is about.")
@author_option
@json_option
def comment(
    *, key: str, text: str, run: str | None, look: int | None, metric: str | None, author: str, as_json: bool
) -> None:
    """Say TEXT, in Markdown, about the flag or experiment KEY. It stands in the log for ever."""
    said, signature = Comment(key=key, text=text, run=run, look=look, metric=metric), Signature(author, "comment")

    async def publish() -> CommentTold:
        async with opened(Settings.read()) as writer:
            check_comment(said, writer.history)
            version = await publish_comment(writer, said, signature)
            return next(each for each in comments_of(writer.history, key) if each.version == version)

    _tell([asyncio.run(publish())], as_json)


@click.command()
@click.argument("key")
@json_option
def comments(key: str, as_json: bool) -> None:
    """What people said about the flag or experiment KEY, oldest first."""
    history = read_catalog(Settings.read())
    state_of(history, key)
    found = comments_of(history, key)
    if not (found or as_json):
        click.echo(f"nobody said anything about '{key}'; `peekproof comment {key} TEXT` does")
    _tell(found, as_json)


def _tell(found: list[CommentTold], as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        look = None if each.look is None else f"look {each.look}"
        about = ", ".join(filter(None, (each.run, look, each.metric)))
        click.echo(f"{each.version}: {told_utc(each.time)} UTC, {each.author}{about and f' about {about}'}")
        said = f"withdrawn by {each.withdrawn_by}" if each.text is None else each.text
        for line in said.splitlines():
            click.echo(f"  {harmless(line)}")
