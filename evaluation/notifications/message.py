"""Message: a notification as a person reads it, and when it may be sent."""

from typing import Any, NamedTuple

from evaluation.catalog.hours import opening, opens, told_time
from schemas.fields import Field, Unit, fields
from schemas.look import ArmHealth, Cell, Health, Verdict
from schemas.notification import Notification, NotificationRule

WORDS: dict[str, Field] = fields(Health) | fields(ArmHealth) | fields(Verdict) | fields(Cell)


class PlainMessage(NamedTuple):
    """A line for a list or a subject, and the text: plain, in lines."""

    title: str
    body: str


def message(notification: Notification, rule: NotificationRule | None, base_url: str) -> PlainMessage:
    """What a place is told; `base_url` is the console's, `rule` None where it is gone (no template then).

    The body is the rule's `template` with its {names} filled in, else the sentence, the numbers and the link.
    """
    title = title_of(notification)
    numbers, link = told_numbers(notification.numbers), link_from(notification, base_url)
    if rule is None or rule.template is None:
        return PlainMessage(title, "\n".join(filter(None, (notification.sentence, numbers, link))))
    values = {name: getattr(notification, name) for name in Notification.__struct_fields__}
    values |= {"title": title, "numbers": numbers, "link": link, "time": _time(notification.time, rule.timezone)}
    return PlainMessage(title, rule.template.format_map({name: _text(value) for name, value in values.items()}))


def title_of(notification: Notification) -> str:
    """What it is about, and what has come about: `checkout-button: ship`."""
    about = notification.subject.partition("/")[2]
    what = notification.state if notification.event == "verdict changed" else notification.event
    return f"{about}: {what}"


def link_from(notification: Notification, base_url: str) -> str:
    """The page that shows it, by the console's address; empty where there is none, or nobody knows the address."""
    return f"{base_url.rstrip('/')}/{notification.link}" if notification.link and base_url else ""


def told_numbers(numbers: dict[str, Any]) -> str:
    """Numbers in a line, called as everywhere."""
    return ", ".join(f"{_title(name)} {_number(name, value)}" for name, value in numbers.items())


def sendable_from(rule: NotificationRule, time: int) -> int:
    """The first moment from `time` on (both ms UTC) that lies within the rule's hours; `time` where nobody can say."""
    try:
        found = opening(rule.hours, rule.timezone, time)
    except ValueError:  # a time zone that this machine does not know
        return time
    return time if found is None else found


def is_sendable(rule: NotificationRule, time: int) -> bool:
    """Whether a moment (ms UTC) lies within the rule's hours, or it has none, or nobody can know here when they are."""
    try:
        return opens(rule.hours, rule.timezone, time)
    except ValueError:  # a time zone that this machine does not know: better at night than never
        return True


def _time(time: int, timezone: str) -> str:
    """In UTC where this machine does not know the time zone."""
    try:
        return told_time(time, timezone)
    except ValueError:
        return told_time(time, "UTC")


def _title(name: str) -> str:
    return WORDS[name].title if name in WORDS else name.replace("_", " ")


def _number(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(value)
    unit: Unit | None = WORDS[name].unit if name in WORDS else None
    match unit:
        case "lift":
            return f"{value:+.1%}"
        case "share" | "probability":
            return f"{value:.1%}"
        case "p-value":
            return "< 0.0001" if value < 0.0001 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
