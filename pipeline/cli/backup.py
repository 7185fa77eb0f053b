"""`peekproof backup` and `peekproof restore`: what must be kept, and back on another machine."""

import os
from pathlib import Path

import click
import msgspec

from pipeline.cli.documents import author_option, json_option
from pipeline.cli.progress import progress
from pipeline.recovery.backup import Backup
from pipeline.recovery.manifest import Tell
from pipeline.recovery.restore import Restore
from pipeline.settings import Settings
from pipeline.storage.readers import UMASKS, admit


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@json_option
def backup(directory: Path, as_json: bool) -> None:
    """Keep in DIRECTORY what an installation needs to go on elsewhere, while it runs.

    Archive, checkpoints, keys and settings, and what Kafka holds of the log beyond them. Run it where the archive is. A
    second one into the same DIRECTORY adds what is new.
    """
    os.umask(UMASKS["owner"])  # it holds keys, and everybody's ids
    work = Backup(Settings.read(), directory)
    with progress("backing up", total=work.size) as tell:
        manifest = work.run(_summing(tell))
    added = work.added(manifest)
    if as_json:
        told = {"time": manifest.time, "files": len(manifest.files), "bytes": manifest.size, "added": added}
        click.echo(msgspec.json.encode(told | {"waiting": manifest.waiting}))
        return
    click.echo(
        f"{directory} holds the installation: {len(manifest.files)} files, {manifest.size:,} bytes, {added:,} new"
    )
    if manifest.waiting:
        click.echo(
            f"{manifest.waiting:,} records of exposures and events wait for assignment: they are kept, but a restore "
            "counts them as lost. Start its worker, and back up again"
        )


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@author_option
@json_option
def restore(directory: Path, author: str, as_json: bool) -> None:
    """Bring an installation back from DIRECTORY: a backup, or the data directory whose catalog the cluster lost.

    Stop every worker before. On another cluster, stages go on where the backup ends, and every run says so.
    """
    settings = Settings.read()
    admit(settings)
    work = Restore(settings, directory)
    with progress("restoring", total=work.size) as tell:
        restored = work.run(author, _summing(tell))
    if as_json:
        click.echo(msgspec.json.encode(restored))
        return
    for difference in restored.differences:
        click.echo(difference)
    click.echo(
        f"restored: {restored.files} files, {restored.catalog:,} records of the catalog, {restored.folded:,} messages "
        "folded into states"
    )
    if restored.made_anew:
        click.echo(f"made anew since: {', '.join(restored.made_anew)}. Every run concerned says what it may lack")
    if restored.missing:
        click.echo("the logs no longer hold all that the stages need: `peekproof recover accept-gap` shows it")
    if restored.waiting:
        click.echo(f"{restored.waiting:,} records of exposures and events are in the archive, but in no number")
    click.echo("start the workers: they go on from here")


def _summing(tell: Tell) -> Tell:
    done = 0

    def more(size: int) -> None:
        nonlocal done
        done += size
        tell(done)

    return more
