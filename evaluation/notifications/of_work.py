"""Of work: stages on which nobody works, records that wait, and input that could not be used."""

from collections.abc import Iterator
from functools import partial

from evaluation.notifications.circumstance import Circumstance, Wording
from evaluation.notifications.work import Spoken, Work, above_for, trouble
from schemas.duration import MINUTE_MS, in_words
from schemas.notification import Occurrence
from schemas.topics import DEAD_LETTERS

LONGEST_ERROR = 500  # characters


def of_work(event: Occurrence, above: int, work: Work) -> Iterator[Circumstance]:
    """What of the work stands, of an event that is about no flag."""
    match event:
        case "dead letters":
            yield from _dead_letters(above, work)
        case "lag":
            yield from (circumstance for stage in work.stages for circumstance in _lag(stage, above, work))
        case "stage down":
            yield from (circumstance for stage in work.stages for circumstance in _down(stage, work))


def _dead_letters(above: int, work: Work) -> Iterator[Circumstance]:
    """Told of the newest minute or of the one before, lest it is told of what is long over."""
    newest = max(work.dead_letters, default=0)
    loud = [minute for minute in (newest - MINUTE_MS, newest) if work.dead_letters.get(minute, 0) > above]
    if loud and newest > work.now - 2 * MINUTE_MS:
        number = max(work.dead_letters[minute] for minute in loud)
        sentence = (
            f"{number:,} messages in a minute could not be used, more than {above:,}: `peekproof dead-letters` has "
            "them with the reasons, and what to do."
        )
        say = partial(Wording, sentence, {"dead_letters": number})
        began = trouble(work.dead_letters, above)
        yield Circumstance("dead letters", f"topic/{DEAD_LETTERS}", work.now, say, began=began)


def _lag(stage: str, above: int, work: Work) -> Iterator[Circumstance]:
    minutes = work.lags.get(stage, {})
    lasted = above_for(minutes, above, work.now)
    if lasted:
        waiting = work.waiting(stage)
        sentence = (
            f"{waiting:,} records wait for {stage}, more than {above:,} for {in_words(lasted)}: start another worker, "
            f"`peekproof worker {stage}`, or see what holds it up by `peekproof doctor`."
        )
        say = partial(Wording, sentence, {"lag": waiting})
        began = trouble(minutes, above)
        yield Circumstance("lag", f"stage/{stage}", work.now, say, lasted=lasted, began=began)


def _down(stage: str, work: Work) -> Iterator[Circumstance]:
    if work.living(stage):
        return
    last = work.of(stage)[-1]
    lasted = work.now - max(last.time, work.watched)
    sentence = (
        f"Nobody works on {stage}: {_end(last, work.now)}. `peekproof worker {stage}` starts one, unless "
        "`peekproof up` does; `peekproof doctor` says more."
    )
    say = partial(Wording, sentence, {})
    yield Circumstance("stage down", f"stage/{stage}", work.now, say, state=str(last.time), lasted=lasted)


def _end(last: Spoken, now: int) -> str:
    health, ago = last.health, f"{in_words(now - last.time)} ago"
    if health.error is not None:
        error = health.error
        return f"{health.worker} ended {ago}: {error[:LONGEST_ERROR]}{'…' * (len(error) > LONGEST_ERROR)}"
    if health.ended:
        return f"{health.worker} ended {ago}, as it was asked to"
    return f"{health.worker} spoke last {ago} and said no word at its end, so it was killed, hangs or is cut off"
