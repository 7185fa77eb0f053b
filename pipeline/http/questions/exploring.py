"""Exploring: what anybody asks of a run afterwards, and what they have asked before."""

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.exceptions import ClientException

from evaluation.catalog.in_force import RunInForce
from evaluation.exploring.answer import Exploration
from evaluation.exploring.asked_metrics import asked_metrics
from evaluation.exploring.entry_values import EntryValues
from evaluation.exploring.question import ExploreQuestion, QuestionError
from evaluation.exploring.supposed import needed
from evaluation.flags.conditions import ConditionError
from pipeline.exploring.asked import AskedBefore, AskedQuestions
from pipeline.exploring.explore import explore as answer_of
from pipeline.http.backend import Backend
from pipeline.http.callers.keys import Key
from pipeline.http.questions.runs import run_asked
from pipeline.registry.kept import KeptSchemas

EXPLORING_SECONDS = 30.0  # that a question may read; the command line has no bound


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, and what its asker has asked of the run by now, this question included."""

    answer: Exploration
    asked: AskedBefore


@get("/experiments/{key:str}/explore")
async def asked_before(
    request: Request[Any, Key, Any], backend: Backend, key: str, run: str | None = None
) -> AskedBefore:
    """How many questions you have put to a run, and whether to be careful: ask before you ask."""
    return _asked(backend, run_asked(backend, key, run)).before(request.auth.id)


@post("/experiments/{key:str}/explore", status_code=200)
async def explore(
    request: Request[Any, Key, Any], backend: Backend, key: str, data: ExploreQuestion, run: str | None = None
) -> Answered:
    """Slices, metrics and causes that nobody foresaw, folded from the archive; see the documentation of exploring."""
    of_run, settings = run_asked(backend, key, run), backend.settings
    try:
        question = data.checked()
        asked_metrics(question, backend.catalog.history.newest, of_run)
        EntryValues((), question.where)
    except (QuestionError, ConditionError) as error:
        raise ClientException(str(error)) from None
    about = msgspec.json.encode((key, of_run.key, question, backend.catalog.history.newest.offset))
    found = await backend.readers.ask(
        answer_of,
        about,
        settings.data / "archive",
        needed(backend.catalog.history),
        key,
        of_run.key,
        question,
        settings.horizon,
        settings.tolerance,
        EXPLORING_SECONDS,
        KeptSchemas(settings),
    )
    asked = _asked(backend, of_run)
    asked.note(request.auth.id, question, found.family.comparisons if found.family else 0)
    return Answered(answer=found, asked=asked.before(request.auth.id))


def _asked(backend: Backend, run: RunInForce) -> AskedQuestions:
    return AskedQuestions(backend.settings.data, run.flag, run.key)
