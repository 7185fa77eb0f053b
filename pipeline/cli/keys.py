"""`peekproof key`: who may use the HTTP server."""

import click
import msgspec

from pipeline.catalog.topic import read_catalog
from pipeline.cli.documents import author, json_option
from pipeline.cli.terminal import told_utc
from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import OF_DEPLOYMENTS, ROLES, Keys, Role
from pipeline.settings import Settings
from pipeline.storage.readers import admit


@click.group()
def key() -> None:
    """Make, list and revoke the keys with which the HTTP server is used."""


@key.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--name", default=author, show_default="you", help="Whose it is: the author of what is changed with it.")
@click.option("--deployment", default=None, help="Of a client or server key: the deployment whose flags it is served.")
@json_option
def create(role: Role, name: str, deployment: str | None, as_json: bool) -> None:
    """Make a key and show it, this once.

    client and server keys evaluate flags and send events; a viewer reads, an experimenter also edits flags and
    experiments and leads them, an admin also edits deployments.
    """
    settings = Settings.read()
    admit(settings)
    if deployment is not None and role in OF_DEPLOYMENTS:
        _require(deployment, settings)
    made, text = Keys(settings.data).create(role, name, deployment)
    if as_json:
        click.echo(msgspec.json.encode({"id": made.id, "key": text}))
    else:
        click.echo(text)
        click.echo(f"keep it: only its hash is stored. `peekproof key revoke {made.id}` makes it worthless", err=True)


@key.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Every key by its public name, the first characters; nobody can show the rest."""
    keys = Keys(Settings.read().data).all()
    if as_json:
        told = [{name: field for name, field in msgspec.to_builtins(each).items() if name != "hash"} for each in keys]
        click.echo(msgspec.json.encode(told))
        return
    for each in keys:
        created = told_utc(each.created)
        of = f", deployment {each.deployment}" if each.deployment else ""
        click.echo(f"{each.id}  {created} UTC  {each.name}{of}")
    if not keys:
        click.echo("there are none; `peekproof key create admin` makes one")


@key.command()
@click.argument("name", metavar="ID")
def revoke(name: str) -> None:
    """Make the key ID worthless, at once; a server that runs notices with the next request."""
    revoked = Keys(Settings.read().data).revoke(name)
    click.echo(f"{revoked.id} of {revoked.name} opens nothing any more")


def _require(deployment: str, settings: Settings) -> None:
    """Raises PeekproofError where the catalog has no such deployment."""
    known = read_catalog(settings).newest.deployments
    if deployment not in known:
        raise PeekproofError(
            f"'{deployment}' is no deployment of the catalog; there are: {', '.join(sorted(known)) or 'none'} "
            "(`peekproof apply` publishes the documents of configs/deployments)"
        )
