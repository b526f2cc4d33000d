"""What a person wants done with calls in the ledger, as a file that the owner of an outbox reads.

An application never shares its outbox file, so whoever wants something changed in it leaves an order::

    <the directory of the outbox files>/
        orders/                              0700
            <id>.json                        what is to be done with which calls      (this module)
            <id>.outbox-3f9a1c2e.done        what became of those that lay there      (``order_answers``)

An order names its calls by ``external_id``, and the state and the reason in which they were shown to the person who
decided. A call that has moved on since is left alone. So an order may be carried out by anybody who has the call now,
late, or twice: what counts is what is found in the ledger at that moment.

It is read as if an enemy had written it. What is wrong with it refuses it as a whole: half an order is another one.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.billing.customer import Customer, InvalidIdError, build_customer
from otel_polar.delivery.disk.rows import State
from otel_polar.errors import OrderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION: Final = 1
MAX_ROWS: Final = 20_000
"""Calls in one order; of more there are several."""

MAX_ORDER_BYTES: Final = 16 * 1024 * 1024
MAX_TEXT_CHARACTERS: Final = 2_000
"""Of an id or a reason: twice as long as any is."""

KEPT_S: Final = 7 * 86_400.0
"""An order whose command is gone is still carried out for so long, such as by the next process to start."""

_LATEST: Final = 253_402_300_800.0
"""The year 10000."""


class Kind(StrEnum):
    """What is to be done."""

    ASSIGN = "assign"
    """Held for want of a customer: a person names one."""

    REPRICE = "reprice"
    """Held for want of a price: ask for it again."""

    RELEASE = "release"
    """Held for want of a price: send it without."""

    RETRY = "retry"
    """Rejected: the same event once more."""

    REBUILD = "rebuild"
    """Rejected, or it could not be built: build its event anew from the recorded call."""

    DISCARD = "discard"
    """Held or rejected: nobody is ever billed for it."""

    SEND = "send"
    """Send what is ready, now. Names no calls."""


CHANGEABLE: Final = {
    Kind.ASSIGN: frozenset({State.UNATTRIBUTED}),
    Kind.REPRICE: frozenset({State.UNPRICED}),
    Kind.RELEASE: frozenset({State.UNPRICED}),
    Kind.RETRY: frozenset({State.REJECTED}),
    Kind.REBUILD: frozenset({State.REJECTED, State.UNBUILDABLE}),
    Kind.DISCARD: frozenset({*(state for state in State if state.is_held), State.REJECTED}),
    Kind.SEND: frozenset[State](),
}
"""The states that each kind is for. What Polar may have, which is ready or sent, is in none of them."""


class Row(NamedTuple):
    """A call as it was shown to whoever decided."""

    external_id: str
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One decision about some calls. ``made_at`` is Unix seconds; only an assignment has a ``customer``."""

    id: str
    kind: Kind
    made_at: float
    rows: tuple[Row, ...]
    customer: Customer | None = None

    def dump(self) -> str:
        """One line of JSON. Calls of one state and reason stand together, which keeps it short."""
        who = self.customer
        return json.dumps(
            {
                "version": VERSION,
                "id": self.id,
                "kind": self.kind.value,
                "made_at": self.made_at,
                "customer": None
                if who is None
                else {"id": who.customer_id, "external_id": who.external_customer_id, "member_id": who.member_id},
                "calls": [
                    {"state": state.value, "reason": reason, "external_ids": [row.external_id for row in rows]}
                    for (state, reason), rows in groupby(self.rows, lambda row: (row.state, row.reason))
                ],
            }
        )


def make_orders(kind: Kind, rows: Iterable[Row], *, now: float, customer: Customer | None = None) -> list[Order]:
    """Orders for these calls, each of which is named once; one without calls where none are named.

    Args:
        kind: what is to be done.
        rows: the calls, as they were shown.
        now: the time in Unix seconds.
        customer: who is to pay, for an assignment.
    """
    # By state and reason: an order is shorter then, and as quick.
    every = sorted(dict.fromkeys(rows), key=lambda row: (row.state, row.reason or ""))
    return [
        Order(id=secrets.token_hex(8), kind=kind, made_at=now, customer=customer, rows=tuple(part))
        for begin in range(0, max(1, len(every)), MAX_ROWS)
        for part in [every[begin : begin + MAX_ROWS]]
    ]


def load_order(text: str, order_id: str) -> Order:
    """The order in the file of that id.

    Raises:
        OrderError: if the text is no order, one of another version, or the order of another file.
    """
    if len(text) > MAX_ORDER_BYTES:
        raise OrderError(f"it has more than {MAX_ORDER_BYTES} characters")
    try:
        fields: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OrderError("it is no JSON") from error
    if not isinstance(fields, dict):
        raise OrderError("it is no JSON object")
    if fields.get("version") != VERSION or isinstance(fields["version"], (bool, float)):
        raise OrderError(f"it is of another version than {VERSION}")
    if fields.get("id") != order_id:
        raise OrderError("it is the order of another file")
    kind = _kind(fields.get("kind"))
    rows = tuple(_rows(fields.get("calls"), kind))
    if len(rows) > MAX_ROWS:
        raise OrderError(f"it names more than {MAX_ROWS} calls")
    if len({row.external_id for row in rows}) < len(rows):
        raise OrderError("it names a call twice")
    return Order(
        id=order_id,
        kind=kind,
        made_at=_time(fields.get("made_at")),
        rows=rows,
        customer=_customer(fields.get("customer"), kind),
    )


def _kind(value: object) -> Kind:
    try:
        return Kind(str(value))
    except ValueError as error:
        raise OrderError("it orders nothing that is known") from error


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OrderError("made_at is no number")
    # Before it is made a float: Python refuses to make one of a number of 400 digits.
    if not 0 <= value < _LATEST or math.isnan(value):
        raise OrderError("made_at is no time")
    return float(value)


def _customer(value: object, kind: Kind) -> Customer | None:
    if kind is not Kind.ASSIGN:
        if value is not None:
            raise OrderError(f"an order to {kind} names a customer")
        return None
    if not isinstance(value, dict) or value.keys() != {"id", "external_id", "member_id"}:
        raise OrderError("it assigns calls to nobody")
    if (value["id"] is None) == (value["external_id"] is None):
        raise OrderError("it must name a customer by one id, Polar's or yours")
    if not all(each is None or isinstance(each, str) for each in value.values()):
        raise OrderError("a customer's id is no text")
    try:
        return build_customer(internal=value["id"], external=value["external_id"], member=value["member_id"])
    except InvalidIdError as error:
        raise OrderError(str(error)) from error


def _rows(groups: object, kind: Kind) -> Sequence[Row]:
    if not isinstance(groups, list):
        raise OrderError("calls is no list")
    rows: list[Row] = []
    for group in groups:
        if not isinstance(group, dict) or not isinstance(group.get("external_ids"), list):
            raise OrderError("calls must name external_ids")
        state = next((each for each in CHANGEABLE[kind] if each.value == group.get("state")), None)
        if state is None:
            raise OrderError(f"an order to {kind} names a state that it is not for")
        reason = group.get("reason")
        rows += [
            Row(_text(external_id), state, None if reason is None else _text(reason))
            for external_id in group["external_ids"]
        ]
    return rows


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARACTERS:
        raise OrderError(f"an id or a reason is no text of 1 to {MAX_TEXT_CHARACTERS} characters")
    return value
