"""People: word to Slack, Teams, mail and whatever else Apprise knows, by a URL that is a secret.

Apprise's own logs name parts of it, so they go nowhere; of what failed, words are told that do not stand in the URL.
"""

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

from pipeline.notifications.attempts import Attempt
from pipeline.notifications.secrets import SecretError, place_of, reveal
from schemas.notification import SecretAt

MOST_AT_ONCE = 16  # threads, each of which waits for one answer
TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")  # loggers
PLAIN_WORD = re.compile(r"[A-Za-z]{1,16}[.,:;]?|(error=)?[1-5]\d\d[.,]?")  # numbers: statuses of HTTP and SMTP

_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


class People:
    """Tells people, each in a thread of its own, as Apprise waits for answers."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "people")

    async def send(self, title: str, text: str, to: SecretAt) -> Attempt:
        """Send once."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _send, title, text, to)

    def stop(self) -> None:
        """Begin nothing more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _send(title: str, text: str, to: SecretAt) -> Attempt:
    try:
        url = reveal(to)
    except SecretError as error:
        return Attempt(error=str(error))
    apprise = _apprise()
    said: list[str] = []
    _said.set(said)
    try:
        # Nothing is kept on disk, and no picture is named that others' servers have.
        asset = apprise.AppriseAsset(
            app_id="Peekproof", app_desc="Peekproof", app_url="", image_url_mask="", image_url_logo="",
            storage_mode="memory",
        )  # fmt: skip
        service = apprise.Apprise(asset=asset)
        if not service.add(url):
            return Attempt(
                error=f"{place_of(to)} holds no URL that Apprise {version('apprise')} knows; write one as its "
                "documentation has it, such as slack://… or mailto://…"
            )
        if service.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT):
            return Attempt()
    except Exception as error:  # of a hundred services, whose words may hold the URL
        said.append(type(error).__name__)
    finally:
        _said.set(None)
    return Attempt(error=f"{_kind(url)} did not take it: {harmless_words(said, url) or 'it gave no reason'}")


def harmless_words(said: list[str], url: str) -> str:
    """The last sentence, of which words stay that are plain and do not stand in the URL; others are `…`."""
    known = {part.lower() for part in re.findall(r"\w{3,}", unquote(url).removeprefix(_kind(url)))}
    words = []
    for word in said[-1].split() if said else ():
        bare = word.strip(".,:;").lower()
        is_told = PLAIN_WORD.fullmatch(word) and not any(
            bare in part or part in bare for part in known if len(bare) > 2
        )
        words.append(word if is_told else "…")
    return re.sub(r"…( …)+", "…", " ".join(words))


def _kind(url: str) -> str:
    """What service it is of."""
    found = re.match(r"([a-z0-9]{1,20})://", url, re.IGNORECASE)
    return found[1] if found else "the service"


class _Listener(logging.Handler):
    """Keeps warnings for whoever sends in this context, and drops them elsewhere."""

    def emit(self, record: logging.LogRecord) -> None:
        if (said := _said.get()) is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())


_listener = _Listener()


def _apprise() -> Any:
    """Apprise, which takes a while to import, with its loggers cut off from ours."""
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.propagate = False
        if _listener not in logger.handlers:
            logger.addHandler(_listener)
    import apprise  # noqa: PLC0415 (slow to import)

    return apprise
