"""Keys: whether anybody may use the server, and whether keys belong to deployments that there are."""

from collections.abc import Iterator

from pipeline.doctor.finding import Finding
from pipeline.doctor.sight import Sight
from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Keys
from pipeline.http.callers.sessions import Sessions
from pipeline.http.callers.shares import ExperimentShares
from pipeline.quantities import quantity

AREA = "keys"


def check(sight: Sight) -> Iterator[Finding]:
    """The file beside the data."""
    data = sight.settings.data
    try:
        kept = Keys(data)
        keys = kept.all()
        Sessions(kept).cookie_of("")  # sessions and links are read as well: what cannot be, is told
        ExperimentShares(data).of("")
    except PeekproofError as error:
        yield Finding(AREA, "wrong", str(error), "peekproof restore")
        return
    if not keys:
        told = f"there are none in {data}: the server answers nobody, and listens on loopback only"
        yield Finding(AREA, "warning", told, "peekproof key create admin")
        return
    roles = sorted({key.role for key in keys})
    yield Finding(AREA, "ok", f"{quantity(len(keys), 'key')}: {', '.join(roles)}")
    deployments = sight.catalog().history.newest.deployments
    for key in keys:
        if key.deployment is not None and key.deployment not in deployments:
            told = f"the key {key.id} is of the deployment '{key.deployment}', which the catalog does not have"
            yield Finding(AREA, "warning", told, f"peekproof key revoke {key.id}")
