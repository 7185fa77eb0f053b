"""Visitors: a seeded simulation of a small shop, which says everything that its visitors' devices send.

A visitor arrives, meets the experiments that run (the variant is the one that the flag gives to such a visitor on such
a device, as in any SDK; a plain feature flag is asked for without one), views pages, may buy, may meet an error. True
effects are those of
`PURCHASE_LIFT` and `ERROR_LIFT`; every other flag changes nothing, but one loses exposures (`LOSES`).

Devices are what devices are: a share of records is sent twice, a share arrives after younger ones, some come when the
horizon has passed, some clients are confused about their variant, some send what nobody can read (`Shares`).

Of the purchases a part can be told by the shop's own programs instead, as orders of a shape and a topic of their own.

Time comes in as milliseconds; there is no clock here. Visitors are drawn in blocks of fixed size, so that the same
seed says the same records however often it is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import Answers, evaluate_columns
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.columns.texts import Texts
from evaluation.flags.paths import property_selector, unit_selector
from schemas.topics import EVENTS, EXPOSURES, MARK

MEETS = {"ranking-aa": 0.7, "checkout-button": 0.6, "new-player": 0.5, "dark-mode": 0.2}  # shares of visits
MEETS_OTHER = 0.3
LOSES = {"voucher-hint": 0.15}  # shares of treated visits whose exposure never comes: its split is broken
PURCHASE, PURCHASE_LIFT = 0.12, {"checkout-button": 0.15}  # of visits; relative, of every variant but control
ERROR, ERROR_LIFT = 0.02, {"new-player": 0.5}
REVENUE_LOG_MEAN, REVENUE_LOG_DEVIATION, REVENUE_CAP = 3.6, 0.8, 500.0
MORE_PAGES = 2.5  # mean of the page views after the first
DESIGNER, DESIGNER_BLOCKS = 7, 4  # the visitor whom an inclusion gives a variant comes once in so many blocks
RETURNING = 0.1  # share of visits by visitors who were here before
PLATFORMS = ["iOS", "Android", "iOS", "Android", "web"]  # equally likely
COUNTRIES = ["DE", "DE", "DE", "AT", "CH", "FR"]
WITHOUT_ID = 0.02  # share of page views without an insert id
ORDERED = 4  # every so many of the purchases is an order, where there are any

VISIT_MS = 9_000  # everything of a visit happens within
BLOCK = 512  # visitors drawn at once
SLOT_MS = 500  # records that wait to be sent are sorted as coarsely


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the traffic is not as it should be, as shares of records (`confused`: of visits)."""

    duplicates: float = 0.02  # the same bytes again, up to 0.4 horizons later
    delayed: float = 0.05  # sent up to 0.4 horizons after it happened, behind younger records
    late: float = 0.002  # happened longer ago than the horizon
    unusable: float = 0.0005
    confused: float = 0.0002  # a client that reports another variant as well: its unit is a jumper


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one topic in the order they are sent; `visitor` is the number that the key is made of."""

    topic: str
    visitor: NDArray[np.int64]
    values: list[bytes | None]

    def __len__(self) -> int:
        return len(self.values)


# Kinds of records, and how each reads; an exposure's kind is `_EXPOSURE` plus the index of what it says.
_PAGE_VIEW, _PAGE_VIEW_WITHOUT_ID, _PURCHASE, _ERROR, _UNUSABLE, _EXPOSURE = range(6)
_WHO_WHEN = '"time":%d,"user_id":"u%d","device_id":"d%d"'
_WHERE = '"platform":"%s","country":"%s"'  # on exposures
# Records are columns, a row of the matrix each: `send` and `time` in ms UTC; `serial` makes the insert id; `amount` is
# what a purchase costs in cents, the page of a view, or which of the unusable records it is.
_SEND, _TIME, _VISITOR, _SERIAL, _KIND, _AMOUNT = range(6)
Drawn = NDArray[np.int64]  # (6, n)

_UNUSABLE_EVENTS = (
    b'{"event_type":"page_view","user_id":"u1","tim',
    b"",
    None,
    b"42",
    b'["page_view"]',
    b'{"event_type":"page_view","user_id":"\xff\xfe\xfa"}',
    b'{"event_type":17,"user_id":"u1"}',
    b'{"event_type":"purchase","event_properties":{"revenue":12.5}}',
    b'{"event_type":"purchase","user_id":"u1","time":"yesterday"}',
    b'{"event_type":"purchase","user_id":"u1","event_properties":{"revenue":1e300}}',
    b'{"event_type":"purchase","user_id":"u1","event_properties":{"revenue":"twelve"}}',
    b'{"event_type":"purchase","user_id":"u1","time":9007199254740991}',
    b'{"event_type":"page_view","user_id":"u1"},{"event_type":"page_view","user_id":"u1"}',
    b'{"event_type":"page_view","user_id":"u1","event_properties":{"html":"' + b"x" * 50_000,
)
_UNUSABLE_EXPOSURES = (
    b'{"flag_key":"no-such-flag","variant":"treatment","user_id":"u1"}',
    b'{"flag_key":"checkout-button","variant":"no-such-variant","user_id":"u1"}',
    b'{"flag_key":"checkout-button","variant":"treatment"}',
    b'{"variant":"treatment","user_id":"u1"}',
    b"\x00\x01\x02\x03",
)


class Visitors:
    """The visitors of a shop from `start` (ms UTC) on, at a mean rate of records per second.

    `orders` is the topic to which the shop's own programs write, if they do: each order when it is placed, and when it
    is paid. The device says nothing of such a purchase.
    """

    def __init__(
        self,
        flags: Mapping[str, FlagInForce],
        *,
        seed: int,
        start: int,
        records_per_second: float,
        horizon_ms: int,
        shares: Shares | None = None,
        orders: str | None = None,
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._flags = [flag for _, flag in sorted(flags.items()) if flag.status == "running"]
        self._start = start
        self._horizon = horizon_ms
        self._shares = shares or Shares()
        self._orders = orders
        self._evaluated = flags_in_force(Catalog(flags={flag.definition.key: flag for flag in self._flags}))
        says = [_says(flag) for flag in self._flags]
        self._said = [template for templates in says for template in templates]
        self._said_from = np.cumsum([0, *map(len, says)])
        self._visits_per_ms = records_per_second / self._records_per_visit() / 1_000
        self._first = start - 2 * VISIT_MS  # the shop is busy when we begin to listen
        self._blocks = 0
        self._visitors = 0
        self._serial = 0
        self._waiting: dict[int, list[Drawn]] = {}  # by slot of `send`

    def until(self, time: int) -> list[Chunk]:
        """Everything sent before `time` (ms UTC) that was not said yet."""
        while self._first + self._blocks * BLOCK / self._visits_per_ms < time:
            self._wait(self._block())
        slots = sorted(slot for slot in self._waiting if slot <= time // SLOT_MS)
        waiting = [part for slot in slots for part in self._waiting.pop(slot)]
        records = np.concatenate([np.empty((6, 0), np.int64), *waiting], axis=1)
        due = records[_SEND] < time
        if not due.all():
            self._waiting[time // SLOT_MS] = [records[:, ~due]]
        sent = records[:, due]
        sent = sent[:, np.argsort(sent[_SEND], kind="stable")]
        exposure = sent[_KIND] >= _EXPOSURE
        exposure |= (sent[_KIND] == _UNUSABLE) & (sent[_AMOUNT] >= len(_UNUSABLE_EVENTS))
        ordered = (sent[_KIND] == _PURCHASE) & (sent[_SERIAL] % ORDERED == 0) & (self._orders is not None)
        chunks = [
            Chunk(topic, rows[_VISITOR], self._values(rows))
            for topic, rows in ((EXPOSURES, sent[:, exposure]), (EVENTS, sent[:, ~exposure & ~ordered]))
            if rows.size
        ]
        if ordered.any():
            rows = sent[:, ordered]
            chunks.append(Chunk(f"{MARK}{self._orders}", np.repeat(rows[_VISITOR], 2), _told_by_the_shop(rows)))
        return chunks

    def pause(self, duration: int) -> None:
        """Nobody arrives for so many ms; those who are there go on."""
        self._first += duration

    def _wait(self, records: Drawn) -> None:
        """Keep what is sent from the start on, by slot."""
        slot = records[_SEND] // SLOT_MS
        order = np.argsort(slot, kind="stable")
        slots, first = np.unique(slot[order], return_index=True)
        for number, part in zip(slots.tolist(), np.split(records[:, order], first[1:], axis=1), strict=True):
            if number >= self._start // SLOT_MS:
                self._waiting.setdefault(number, []).append(part[:, part[_SEND] >= self._start])

    def _records_per_visit(self) -> float:
        answers = self._answers(np.arange(20 * BLOCK))  # who gets no variant meets nothing
        shares = [
            _asks(flag) or float((_positions(answers[flag.definition.key], flag) >= 0).mean()) for flag in self._flags
        ]
        exposures = sum(_meets(flag) * share for flag, share in zip(self._flags, shares, strict=True))
        return (exposures + 1 + MORE_PAGES + PURCHASE + ERROR) * (1 + self._shares.duplicates + self._shares.unusable)

    def _block(self) -> Drawn:
        """All records of the next visits."""
        random = self._random
        arrival = self._first + (self._blocks * BLOCK + np.arange(BLOCK)) / self._visits_per_ms
        self._blocks += 1
        visitor = self._arriving()
        purchase, error = np.full(BLOCK, PURCHASE), np.full(BLOCK, ERROR)
        parts = []
        answers = self._answers(visitor)
        for index, flag in enumerate(self._flags):
            met = random.random(BLOCK) < _meets(flag)
            variants = _variants(flag)
            variant = _positions(answers[flag.definition.key], flag)
            asks = _asks(flag)
            met &= asks | (variant >= 0)
            treated = met & (variant >= 0) & (variant != variants.index(flag.control))
            purchase[treated] *= 1 + PURCHASE_LIFT.get(flag.definition.key, 0.0)
            error[treated] *= 1 + ERROR_LIFT.get(flag.definition.key, 0.0)
            lost = treated & (random.random(BLOCK) < LOSES.get(flag.definition.key, 0.0))
            said = self._said_from[index] + (np.zeros(BLOCK, np.int64) if asks else variant)
            parts.append(self._happen(met & ~lost, arrival, (0, 500), visitor, _EXPOSURE + said))
            confused = met & (random.random(BLOCK) < (0.0 if asks else self._shares.confused))
            other = self._said_from[index] + (variant + 1) % len(variants)
            parts.append(self._happen(confused, arrival, (500, 1_000), visitor, _EXPOSURE + other))
        everyone = np.arange(BLOCK)
        more = np.repeat(everyone, random.poisson(MORE_PAGES, BLOCK))
        parts.append(self._happen(everyone, arrival, (0, 1_000), visitor, _PAGE_VIEW))
        parts.append(self._happen(more, arrival, (1_000, VISIT_MS), visitor, _PAGE_VIEW))
        parts.append(self._happen(random.random(BLOCK) < purchase, arrival, (1_000, VISIT_MS), visitor, _PURCHASE))
        parts.append(self._happen(random.random(BLOCK) < error, arrival, (1_000, VISIT_MS), visitor, _ERROR))
        return self._sent(np.concatenate(parts, axis=1))

    def _answers(self, visitor: NDArray[np.int64]) -> dict[str, Answers]:
        """What each flag gives to these visitors."""
        numbers = visitor.tolist()
        columns = {
            unit_selector("user_id"): PropertyColumn.of_texts(Texts.of([f"u{number}" for number in numbers])),
            unit_selector("device_id"): PropertyColumn.of_texts(Texts.of([f"d{number}" for number in numbers])),
            property_selector("platform"): PropertyColumn.of_codes(visitor % len(PLATFORMS), PLATFORMS),
            property_selector("country"): PropertyColumn.of_codes(
                visitor // len(PLATFORMS) % len(COUNTRIES), COUNTRIES
            ),
        }
        return evaluate_columns(self._evaluated, columns, len(visitor))

    def _arriving(self) -> NDArray[np.int64]:
        """Numbers of the block's visitors: new ones, and some who were here before."""
        fresh = self._random.random(BLOCK) >= RETURNING
        earlier = self._random.integers(0, max(self._visitors, 1), BLOCK)
        visitor = np.where(fresh, self._visitors + np.cumsum(fresh) - 1, earlier)
        if self._blocks % DESIGNER_BLOCKS == 0:
            visitor[0] = DESIGNER
        self._visitors += int(fresh.sum())
        return visitor.astype(np.int64)

    def _happen(
        self,
        who: NDArray[np.bool_] | NDArray[np.int64],
        arrival: NDArray[np.float64],
        after: tuple[int, int],
        visitor: NDArray[np.int64],
        kind: NDArray[np.int64] | int,
    ) -> Drawn:
        """One record for each of these visits, so many ms `after` the arrival."""
        records = np.zeros((6, len(arrival[who])), np.int64)
        records[_TIME] = arrival[who] + self._random.uniform(*after, records.shape[1])
        records[_VISITOR] = visitor[who]
        records[_KIND] = kind if isinstance(kind, int) else kind[who]
        return records

    def _sent(self, records: Drawn) -> Drawn:
        """What devices make of what happened."""
        random, shares, n = self._random, self._shares, records.shape[1]
        revenue = random.lognormal(REVENUE_LOG_MEAN, REVENUE_LOG_DEVIATION, n)
        cents = np.round(np.minimum(revenue, REVENUE_CAP) * 100)
        records[_AMOUNT] = np.where(records[_KIND] == _PURCHASE, cents, random.integers(1, 500, n))
        records[_SERIAL] = self._serial + np.arange(1, n + 1)
        self._serial += n
        records[_KIND][(records[_KIND] == _PAGE_VIEW) & (random.random(n) < WITHOUT_ID)] = _PAGE_VIEW_WITHOUT_ID
        delayed = random.random(n) < shares.delayed
        records[_SEND] = records[_TIME] + np.where(delayed, random.integers(500, 2 * self._horizon // 5, n), 0)
        late = random.random(n) < shares.late
        records[_TIME] -= np.where(late, self._horizon + random.integers(1_000, 5_000, n), 0)
        again = records[:, random.random(n) < shares.duplicates]
        again[_SEND] += random.integers(50, 2 * self._horizon // 5, again.shape[1])
        unusable = records[:, random.random(n) < shares.unusable]
        unusable[_KIND] = _UNUSABLE
        unusable[_AMOUNT] = random.integers(0, len(_UNUSABLE_EVENTS) + len(_UNUSABLE_EXPOSURES), unusable.shape[1])
        return np.concatenate([records, again, unusable], axis=1)

    def _values(self, rows: Drawn) -> list[bytes | None]:
        """The JSON of each record."""
        values = np.empty(rows.shape[1], object)
        for kind in np.unique(rows[_KIND]):
            which = np.flatnonzero(rows[_KIND] == kind)
            values[which] = self._encoded(int(kind), rows[:, which])
        return values.tolist()

    def _encoded(self, kind: int, rows: Drawn) -> list[bytes | None]:
        time, visitor, serial, amount = rows[[_TIME, _VISITOR, _SERIAL, _AMOUNT]].tolist()
        if kind == _UNUSABLE:
            return [(_UNUSABLE_EVENTS + _UNUSABLE_EXPOSURES)[number] for number in amount]
        columns = {
            _PAGE_VIEW: (serial, amount),
            _PAGE_VIEW_WITHOUT_ID: (amount,),
            _PURCHASE: (serial, (rows[_AMOUNT] // 100).tolist(), (rows[_AMOUNT] % 100).tolist()),
            _ERROR: (serial,),
        }.get(kind) or ([_PLACES[number % len(_PLACES)] for number in visitor], serial)
        template = _TEMPLATES[kind] if kind < _EXPOSURE else self._said[kind - _EXPOSURE]
        return [(template % row).encode() for row in zip(time, visitor, visitor, *columns, strict=True)]


_TEMPLATES = {
    _PAGE_VIEW: '{"event_type":"page_view",%s,"insert_id":"%%d","event_properties":{"page":"/product/%%d"}}',
    _PAGE_VIEW_WITHOUT_ID: '{"event_type":"page_view",%s,"event_properties":{"page":"/product/%%d"}}',
    _PURCHASE: '{"event_type":"purchase",%s,"insert_id":"%%d","event_properties":{"revenue":%%d.%%02d}}',
    _ERROR: '{"event_type":"app_error",%s,"insert_id":"%%d"}',
}
_TEMPLATES = {kind: template % _WHO_WHEN for kind, template in _TEMPLATES.items()}
_ORDER = (
    '{"meta":{"type":"order.%s","version":2},"order":{"id":"o%d","status":"%s","%s":"%s","customer":{"id":"u%d"},'
    '"totals":{"gross":%d.%02d,"items":1},"currency":"EUR"},"context":{"anonymousId":"d%d"}}'
)
_PLACES = [_WHERE % (platform, country) for country in COUNTRIES for platform in PLATFORMS]  # by the visitor's number


def _told_by_the_shop(purchases: Drawn) -> list[bytes | None]:
    """Each order when it is placed, and when it is paid."""
    moments = np.datetime_as_string(purchases[_TIME].astype("datetime64[ms]"), timezone="UTC").tolist()
    values: list[bytes | None] = []
    for moment, visitor, serial, amount in zip(moments, *purchases[[_VISITOR, _SERIAL, _AMOUNT]].tolist(), strict=True):
        for what, status, field in (("placed", "OPEN", "placedAt"), ("paid", "PAID", "paidAt")):
            order = (what, serial, status, field, moment, visitor, *divmod(amount, 100), visitor)
            values.append((_ORDER % order).encode())
    return values


def _meets(flag: FlagInForce) -> float:
    return MEETS.get(flag.definition.key, MEETS_OTHER)


def _asks(flag: FlagInForce) -> bool:
    """Whether visitors ask for the variant: a plain feature flag's."""
    return not flag.definition.metrics


def _variants(flag: FlagInForce) -> list[str]:
    return [*flag.runs[-1].allocations[-1].weights]


def _says(flag: FlagInForce) -> list[str]:
    """Templates of the exposures of a flag: one per variant, or one that asks."""
    head, tail = f'{{"flag_key":"{flag.definition.key}",', f'{_WHO_WHEN},%s,"insert_id":"%d"'
    if _asks(flag):
        return [f"{head}{tail}}}"]
    run, version = flag.runs[-1], f'"metadata":{{"flagVersion":{flag.version}}}}}'
    return [f'{head}"experiment_key":"{run.key}","variant":"{key}",{tail},{version}' for key in _variants(flag)]


def _positions(answers: Answers, flag: FlagInForce) -> NDArray[np.int64]:
    """Each visitor's variant by its position; -1: none of them."""
    variants = _variants(flag)
    positions = [variants.index(each.key) if each.key in variants else -1 for each in answers.outcomes]
    return np.array([*positions, -1])[answers.codes]
