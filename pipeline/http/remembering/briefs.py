"""Briefs: what is remembered of each experiment, from its hypothesis to what was learned, and a search among them."""

import asyncio
from collections.abc import Iterator

import msgspec
from litestar import get, post
from litestar.exceptions import ClientException

from evaluation.catalog.decisions import OUTCOMES, UNDECIDED, Decided
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.rules import did_you_mean
from pipeline.http.backend import Backend
from pipeline.http.callers.access import OF_LINK
from pipeline.http.management.life import standing
from pipeline.http.remembering.markdown import html_of, words_of
from pipeline.http.results.routes import ReadRequest, Shown, shown_of
from schemas.brief import Brief, Markdown
from schemas.decoding import decode
from schemas.look import Look

EXCERPT = 300  # characters of what was learned, in a list


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A text of a brief: as it was written, and as HTML in which nothing is left that could do anything."""

    markdown: str
    html: str


class BriefShown(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of an experiment. `version` 0: nobody has written its brief yet.

    `look` is the one on which the last decision rested; where that is not known, and before there is one, the newest.
    """

    key: str
    owner: str
    tags: tuple[str, ...]
    version: int
    author: str | None
    time: int | None  # ms UTC, when that version was appended
    background: Passage
    decision: Passage
    learning: Passage
    experiment: Shown
    look: Look | None


class BriefListed(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, what became of it, and the beginning of what was learned; `written`: it has a brief."""

    key: str
    name: str | None
    owner: str
    tags: tuple[str, ...]
    metrics: tuple[str, ...]
    status: str
    decided: Decided | None
    written: bool
    learning: str


class Briefs(msgspec.Struct, frozen=True, kw_only=True):
    """Briefs, those decided last first."""

    briefs: list[BriefListed]


class Rendering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Markdown that is to be shown."""

    markdown: Markdown


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """The same as HTML."""

    html: str


@get("/briefs")
async def list_briefs(
    backend: Backend,
    *,
    text: str = "",
    tag: str | None = None,
    metric: str | None = None,
    owner: str | None = None,
    decision: str | None = None,
) -> Briefs:
    """Briefs with all words of `text` somewhere, and with this tag, metric, owner and last decision (`none`: open)."""
    if decision is not None and decision not in OUTCOMES:
        raise ClientException(f"decision: '{decision}' is none; {did_you_mean(decision, OUTCOMES)}")
    words = text.lower().split()
    newest = backend.catalog.history.newest
    found = []
    for key, flag in newest.flags.items():
        brief = newest.briefs[key].definition if key in newest.briefs else None
        if flag.removed == "deleted" or not (brief or flag.definition.metrics):
            continue
        each = _listed(flag, brief, backend.decisions.last(flag))
        if (
            (tag is None or tag in each.tags)
            and (metric is None or metric in each.metrics)
            and (owner is None or owner in {each.owner, flag.definition.owner})
            and (decision is None or decision == (each.decided.step if each.decided else UNDECIDED))
            and all(word in _text(flag, brief, each) for word in words)
        ):
            found.append(each)
    return Briefs(briefs=sorted(found, key=lambda each: (-each.decided.time if each.decided else 0, each.key)))


@get("/briefs/{key:str}", opt=OF_LINK)
async def show_brief(request: ReadRequest, backend: Backend, key: str) -> BriefShown:
    """Everything that is remembered of an experiment."""
    standing(backend, key)
    shown = await shown_of(backend, key, request.auth)
    in_force = backend.catalog.history.newest.briefs.get(key)
    brief = in_force.definition if in_force else Brief(key=key, owner=shown.owner, tags=shown.tags)
    versions = backend.catalog.history.versions_of("brief", key)
    texts = (brief.background, brief.decision, brief.learning)
    background, decision, learning = await asyncio.to_thread(lambda: [_passage(each) for each in texts])
    return BriefShown(
        key=key,
        owner=brief.owner,
        tags=brief.tags,
        version=in_force.version if in_force else 0,
        author=versions[-1].document.author if versions else None,
        time=versions[-1].append_time if versions else None,
        background=background,
        decision=decision,
        learning=learning,
        experiment=shown,
        look=await _look(backend, shown, request.auth.id),
    )


@post("/markdown", status_code=200)
async def render(data: Rendering) -> Rendered:
    """Markdown as briefs and comments show it."""
    return Rendered(html=await asyncio.to_thread(html_of, data.markdown))


ROUTES = [list_briefs, show_brief, render]


async def _look(backend: Backend, shown: Shown, reader: str) -> Look | None:
    last = next((each for each in reversed(shown.decisions) if each.look is not None), None)
    kept = backend.looks.of(shown.key, last.run if last else shown.run)
    if kept is None:
        return None
    value = await backend.past.look(kept, last.look, reader) if last and last.look else None
    return decode(value or kept.newest, Look)


def _passage(markdown: str) -> Passage:
    return Passage(markdown=markdown, html=html_of(markdown))


def _listed(flag: FlagInForce, brief: Brief | None, decided: Decided | None) -> BriefListed:
    definition = flag.definition
    return BriefListed(
        key=definition.key,
        name=definition.name,
        owner=brief.owner if brief else definition.owner,
        tags=tuple(dict.fromkeys([*(brief.tags if brief else ()), *definition.tags])),
        metrics=tuple(goal.metric for goal in definition.metrics),
        status=flag.removed or flag.status,
        decided=decided,
        written=brief is not None,
        learning=words_of(brief.learning)[:EXCERPT] if brief else "",
    )


def _text(flag: FlagInForce, brief: Brief | None, each: BriefListed) -> str:
    """All that is searched, in small letters."""

    def parts() -> Iterator[str]:
        definition = flag.definition
        yield from (each.key, each.owner, *each.tags, *each.metrics)
        yield from (definition.name or "", definition.owner, definition.description or "")
        if said := definition.hypothesis:
            yield from (said.problem, said.solution, said.prediction)
        if brief:
            yield from (brief.background, brief.decision, brief.learning)
        if each.decided:
            yield from (each.decided.reason, each.decided.author)

    return "\n".join(parts()).lower()
