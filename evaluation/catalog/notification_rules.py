"""Rules of notifications: what a document that says who is told what must satisfy beyond the types of its fields.

Whether there is its time zone is for edits alone, as of plans.
"""

from collections.abc import Collection, Iterator, Mapping
from string import Formatter
from urllib.parse import urlsplit

from evaluation.catalog.plan_rules import hours_violations
from evaluation.catalog.rules import Path, Violation, did_you_mean
from schemas.duration import HOUR_MS, parse_duration
from schemas.notification import OCCURRENCES, About, Notification, NotificationRule, Place, SecretAt, Trigger

LONGEST_WATCHED_MS = 12 * HOUR_MS  # of what workers say of themselves more is not remembered
NAMES = (*Notification.__struct_fields__, "title")  # that a template may have


def notification_violations(rule: NotificationRule) -> Iterator[Violation]:
    """What is wrong with a rule."""
    events = [trigger.event for trigger in rule.when]
    for index, trigger in enumerate(rule.when):
        if trigger.event in events[:index]:
            yield Violation(("when", index), f"'{trigger.event}' is there twice; keep one, or make another rule")
        yield from _trigger_violations(trigger, rule.about, ("when", index))
    names = [place.name for place in rule.to]
    for index, place in enumerate(rule.to):
        if place.name in names[:index]:
            yield Violation(
                ("to", index, "name"), f"'{place.name}' is the name of two places; a name means one of them"
            )
        yield from _place_violations(place, ("to", index))
    if rule.hours is not None:
        yield from hours_violations(rule.hours, ("hours",))
    if rule.template is not None:
        yield from _template_violations(rule.template)


def about_remarks(about: About, known: Mapping[str, Collection[str]]) -> Iterator[Violation]:
    """Whom a rule names that no document has, of the `keys`, `owners` and `tags` that they have: no faults."""
    for name, have in known.items():
        for index, each in enumerate(getattr(about, name)):
            if each not in have:
                text = f"no document has the {name[:-1]} '{each}', so nothing is told; {did_you_mean(each, have)}"
                yield Violation(("about", name, index), text)


def _trigger_violations(trigger: Trigger, about: About, path: Path) -> Iterator[Violation]:
    event = OCCURRENCES[trigger.event]
    if trigger.lasts is not None and event.lasts is None:
        way_out = "`settle` says how long it must have stood" if event.settles else "it is told at once"
        yield Violation((*path, "for"), f"{trigger.lasts} would be ignored: '{trigger.event}' takes none, {way_out}")
    elif trigger.lasts is not None and not event.is_of_flag and parse_duration(trigger.lasts) > LONGEST_WATCHED_MS:
        yield Violation(
            (*path, "for"), f"{trigger.lasts} is longer than workers' health is remembered; say 12h or less"
        )
    if trigger.above is not None and event.above is None:
        yield Violation(
            (*path, "above"), f"{trigger.above} would be ignored: '{trigger.event}' is no number; remove it"
        )
    if not event.is_of_flag and about != About():
        text = f"'{trigger.event}' is about no flag, and the rule is `about` some; make another rule for it"
        yield Violation((*path, "event"), text)


def _place_violations(place: Place, path: Path) -> Iterator[Violation]:
    if place.webhook is None and place.people is None:
        yield Violation(path, f"'{place.name}' leads nowhere; give it a `webhook`, or `people`")
    if place.webhook is not None and place.people is not None:
        yield Violation(path, f"'{place.name}' is a webhook and people; make two places of it")
    if place.people is not None:
        yield from _secret_violations(place.people, (*path, "people"))
    if place.webhook is None:
        return
    url = place.webhook.url
    if isinstance(url, SecretAt):
        yield from _secret_violations(url, (*path, "webhook", "url"))
    elif not _is_web(url):
        text = f"'{url}' is no address of a webhook; write https://HOST/PATH, without a name and password"
        yield Violation((*path, "webhook", "url"), text)
    for index, secret in enumerate(place.webhook.secrets):
        yield from _secret_violations(secret, (*path, "webhook", "secrets", index))


def _secret_violations(secret: SecretAt, path: Path) -> Iterator[Violation]:
    if (secret.env is None) == (secret.file is None):
        what = "neither" if secret.env is None else "both"
        yield Violation(path, f"says {what}; a secret is read from a variable, `env`, or from a `file`")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False


def _template_violations(template: str) -> Iterator[Violation]:
    path: Path = ("template",)
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        yield Violation(path, "has a brace that is not closed or opened; write {{ or }} for one that people shall read")
        return
    for _, name, form, conversion in parts:
        if name is not None and (name not in NAMES or form or conversion):
            shown = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            yield Violation(path, f"'{{{shown}}}' is none of a notification's fields; {did_you_mean(name, NAMES)}")
