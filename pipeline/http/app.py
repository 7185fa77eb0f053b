"""App: every route, over one backend."""

import logging
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import CacheControlHeader, State
from litestar.di import Provide
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp, ExceptionHandlersMap

from pipeline.catalog.editing import RefusedError, RiskError
from pipeline.errors import PeekproofError
from pipeline.http.arriving.routes import arriving
from pipeline.http.backend import Backend
from pipeline.http.callers.origins import Origins
from pipeline.http.callers.private_file import PrivateFileError
from pipeline.http.description import description, openapi_of
from pipeline.http.documents import documents
from pipeline.http.door import Door
from pipeline.http.evaluate.amplitude import evaluation
from pipeline.http.evaluate.ofrep import ofrep
from pipeline.http.hatch import Hatch
from pipeline.http.ingest.intake import intake
from pipeline.http.management import management
from pipeline.http.management.bodies import FAULTS, faults
from pipeline.http.management.life import life
from pipeline.http.monitoring import Monitor, create_registry, metrics
from pipeline.http.oncall.routes import oncall
from pipeline.http.questions.routes import questions
from pipeline.http.remembering import remembering
from pipeline.http.results.notifications import notifications
from pipeline.http.results.routes import results
from pipeline.http.results.vocabulary import vocabulary
from pipeline.http.session.routes import session
from pipeline.http.session.shares import shares
from pipeline.http.session.sign_in import provider_of, sign_in
from pipeline.kafka.connection import UnreachableError

API = [  # what the documentation lists
    evaluation,
    ofrep,
    intake,
    results,
    arriving,
    notifications,
    questions,
    vocabulary,
    session,
    oncall,
    shares,
    life,
    management,
    remembering,
    documents,
]
CONSOLE = Path(__file__).parent / "console"
NEVERTHELESS = 'nothing was changed; to do it nevertheless, say "yes": true (?yes=true where there is no body)'
_log = logging.getLogger(__name__)


def create_app(backend: Backend) -> ASGIApp:
    """The application, as an ASGI server runs it."""
    registry = create_registry(backend)
    app = Litestar(
        route_handlers=[
            metrics,
            *API,
            sign_in,
            description,
            create_static_files_router(
                path="/",
                directories=[CONSOLE],
                html_mode=True,
                cache_control=CacheControlHeader(no_cache=True),  # after an update no browser mixes old parts with new
                exception_handlers={ValueError: _no_file, InternalServerException: _no_file},
            ),
        ],
        dependencies={"backend": Provide(lambda: backend, sync_to_thread=False, use_cache=True)},
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"registry": registry, "backend": backend, "provider": provider_of(backend.settings)}),
        openapi_config=OpenAPIConfig(
            title="Peekproof", version=version("peekproof"), path="/openapi", render_plugins=[]
        ),
        logging_config=None,
    )
    app.state.openapi = msgspec.json.encode(openapi_of(app))  # which takes a while: nobody shall wait for it
    inside = Origins(Hatch(app, backend), backend.access.is_open)
    return Monitor(Door(inside, backend.access, backend.tickets), registry)


def _refuse(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    told = [error.detail]
    by_field = error.extra if isinstance(error.extra, dict) and FAULTS in error.extra else {}
    if isinstance(error, ValidationException):
        told += [
            f"{each.get('key', 'body')}: {each['message']}" for each in error.extra or () if isinstance(each, dict)
        ]
    return Response({"error": "\n".join(told)} | by_field, status_code=error.status_code, headers=error.headers)


def _refuse_edit(_: Request[Any, Any, Any], error: PeekproofError) -> Response[dict[str, Any]]:
    if isinstance(error, RiskError):
        told = "\n".join([*error.risks, NEVERTHELESS])
        return Response({"error": told, "consequences": error.risks}, status_code=409)
    by_field = {FAULTS: faults(error.violations)} if isinstance(error, RefusedError) and error.violations else {}
    return Response({"error": str(error)} | by_field, status_code=409)


def _unreadable(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    rule = "is nested too deeply; flatten it" if isinstance(error, RecursionError) else "is not UTF-8; send that"
    return Response({"error": f"the request {rule}"}, status_code=400)


def _no_file(*_: object) -> Response[dict[str, str]]:
    return Response({"error": "no file can have such a name"}, status_code=404)


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    """The log tells where, but not the error's own words: they might name a unit, or a key."""
    where = "".join(traceback.format_tb(error.__traceback__))
    route = request.scope.get("path_template")
    _log.error("%s %s failed with %s (its words are withheld):\n%s", request.method, route, type(error).__name__, where)
    return Response({"error": "the server failed, and its log says where"}, status_code=500)


def _no_keys(*_: object) -> Response[dict[str, str]]:
    error = "the server's keys cannot be read or changed; `peekproof doctor` tells why"
    return Response({"error": error}, status_code=503, headers={"Retry-After": "1"})


def _unreachable(_: Request[Any, Any, Any], error: UnreachableError) -> Response[dict[str, str]]:
    return Response({"error": str(error)}, status_code=503, headers={"Retry-After": "1"})


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    HTTPException: _refuse,
    PeekproofError: _refuse_edit,
    PrivateFileError: _no_keys,
    UnreachableError: _unreachable,
    RecursionError: _unreadable,
    UnicodeDecodeError: _unreadable,
    Exception: _failed,
}
