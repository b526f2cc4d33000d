"""What an order does to the calls it names: for whoever owns the outbox, on the thread that delivers from it.

Each call is looked up in the ledger. In the state in which it was shown it becomes what was ordered, under its own
``external_id``, in one transaction for all that are looked at together::

    held: unattributed ──assign──▶ as any call that names its customer: ready, held: unpriced, ...
    held: unpriced ──reprice──▶ ready, or held as before
    held: unpriced ──release──▶ ready, without a cost
    rejected ──retry──▶ ready, with the same body        rejected, held: unbuildable ──rebuild──▶ as if just recorded
    held: ..., rejected ──discard──▶ discarded

Nothing else is ever changed, above all nothing that Polar may have. In any other state it is asked whether it is so
because of this very order: one that is carried out a second time, such as after a crash, answers as the first time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.billing.customer import Customer
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.pricing import Unpriced
from otel_polar.delivery.deciding.decide import decide, decide_measurement
from otel_polar.delivery.disk.database import writable_text
from otel_polar.delivery.disk.record import dump_call, dump_measurement, load_record
from otel_polar.delivery.disk.rows import Decided, Recorded, State
from otel_polar.delivery.disk.statements import CHANGE, NAMED
from otel_polar.delivery.giving_way import give_way
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.orders.answers import MAX_REASON_CHARACTERS, Outcome, Result
from otel_polar.delivery.orders.order import CHANGEABLE, Kind

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price
    from otel_polar.delivery.deciding.intake import Intake
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.orders.order import Order, Row

_GOING: Final = (State.READY, State.SENT)


class _Named(NamedTuple):
    """A row of the ledger that an order names. Of a damaged one ``call`` and ``body`` may be anything."""

    seq: int
    external_id: str
    state: str
    reason: str | None
    recorded_at: float
    due_at: float
    call: Any
    body: Any


class _Change(NamedTuple):
    """What a row becomes. The customer is set where a person has said who pays."""

    decided: Decided
    customer: Customer | None = None


class _NotPossibleError(Exception):
    """What was ordered cannot be done to this call; the words say why."""


def carry_out(
    order: Order, rows: Mapping[int, Row], outbox: Outbox, intake: Intake, *, now: float
) -> dict[int, Result]:
    """Do to these calls of an *order*, by their place in it, what it says; what became of those that are here.

    Args:
        order: not one to send.
        rows: some of its calls, a few hundred at most: other calls wait meanwhile.
        outbox: where they are looked for.
        intake: what decides the calls of that outbox.
        now: the time in Unix seconds.

    Raises:
        OutboxError: if the outbox cannot be used. Nothing has changed then.
    """
    places = {row.external_id: place for place, row in rows.items()}
    results: dict[int, Result] = {}
    changes: dict[str, tuple[_Named, _Change]] = {}
    ready: set[str] = set()
    for found in outbox.database.read(NAMED, (json.dumps(list(places)),)):
        named = _Named(*found)
        place = places[named.external_id]
        answer = _look(order, rows[place], named, intake, ready=ready, now=now)
        if isinstance(answer, Result):
            results[place] = answer
        else:
            changes[named.external_id] = (named, answer)
            if answer.decided.state is State.READY:
                ready.add(named.external_id)
        give_way()
    changed: dict[str, _Change] = {}
    with outbox.database.transaction() as transaction:
        for external_id, (named, change) in changes.items():
            decided = change.decided
            values = (decided.state.value, _text(decided.reason), now, _text(decided.recorded.call), decided.body)
            if transaction.run(CHANGE, (*values, named.seq, external_id, named.state)):
                changed[external_id] = change
            give_way()
    for external_id in changes:
        made = changed.get(external_id)
        results[places[external_id]] = Result(Outcome.CHANGED) if made is None else _result_of(order, made.decided)
    intake.ordered(
        {external_id: change.decided for external_id, change in changed.items()},
        {external_id: who for external_id, change in changed.items() if (who := change.customer) is not None},
    )
    return results


def _look(
    order: Order, row: Row, named: _Named, intake: Intake, *, ready: Container[str], now: float
) -> _Change | Result:
    if named.state not in CHANGEABLE[order.kind] or not _is_as_shown(order, row, named):
        return _result_without_change(order, named)
    try:
        return _change(order, named, intake, ready=ready, now=now)
    except _NotPossibleError as error:
        return Result(Outcome.IMPOSSIBLE, named.state, str(error))


def _is_as_shown(order: Order, row: Row, named: _Named) -> bool:
    if named.state != row.state:
        return False
    if order.kind is Kind.REPRICE:
        # Why it has no price changes with every price list, and asking again does no harm.
        return True
    # What Polar has refused a second time was tried again on this order: its reason may be the same.
    was_tried = order.kind in {Kind.RETRY, Kind.REBUILD} and named.due_at >= order.made_at
    return named.reason == row.reason and not was_tried


def _result_without_change(order: Order, named: _Named) -> Result:
    """What to say of a call that is not as it was shown: perhaps it is what this order has made of it."""
    is_made = {
        Kind.ASSIGN: lambda: _customer_of(named) == order.customer,
        Kind.REPRICE: lambda: named.state in _GOING,
        Kind.RELEASE: lambda: named.state in _GOING and "cost_nanos" not in _metadata_of(named),
        Kind.RETRY: lambda: named.state in _GOING or named.due_at >= order.made_at,
        Kind.REBUILD: lambda: named.state in _GOING or named.due_at >= order.made_at,
        Kind.DISCARD: lambda: named.state == State.DISCARDED,
    }[order.kind]()
    if not is_made or named.state == State.DUPLICATE:
        return Result(Outcome.CHANGED, named.state, named.reason)
    is_held = named.state not in {*_GOING, State.DISCARDED}
    return Result(Outcome.HELD if is_held else Outcome.DONE, named.state, named.reason if is_held else None)


def _result_of(order: Order, decided: Decided) -> Result:
    is_done = decided.state is (State.DISCARDED if order.kind is Kind.DISCARD else State.READY)
    return Result(Outcome.DONE if is_done else Outcome.HELD, decided.state.value, None if is_done else decided.reason)


def _change(order: Order, named: _Named, intake: Intake, *, ready: Container[str], now: float) -> _Change:
    recorded = Recorded(named.seq, named.recorded_at, named.call)
    match order.kind:
        case Kind.DISCARD:
            was = f"discarded by a person; it was {named.state}: {named.reason}"[:MAX_REASON_CHARACTERS]
            # A frozen body is kept, for what it cost was spent; and the call, until no other span of it is expected.
            return _Change(Decided(recorded, named.external_id, State.DISCARDED, reason=was, body=named.body))
        case Kind.RETRY:
            if not isinstance(named.body, str) or _body_of(named).get("external_id") != named.external_id:
                raise _NotPossibleError("its event cannot be read any more")
            return _Change(Decided(recorded, named.external_id, State.READY, body=named.body))
    call = _call_of(named)
    customer = order.customer
    if customer is not None:
        if isinstance(call, Measurement):
            call = call._replace(customer=customer)
            recorded = replace(recorded, call=dump_measurement(call))
        else:
            call = call._replace(customer=customer, is_assigned=True)
            recorded = replace(recorded, call=dump_call(call))
    decided = _decided(recorded, call, intake, is_priced=order.kind is not Kind.RELEASE, ready=ready, now=now)
    if decided.external_id != named.external_id:
        raise _NotPossibleError("its recorded call is another one's")
    return _Change(decided, customer)


def _decided(
    recorded: Recorded,
    call: ModelCall | Measurement,
    intake: Intake,
    *,
    is_priced: bool,
    ready: Container[str],
    now: float,
) -> Decided:
    parent_id = intake.certain(call.parent_event_id, ready)
    if isinstance(call, Measurement):
        return decide_measurement(recorded, call, parent_id=parent_id, notices=intake.notices, now=now)
    if is_priced:
        settings, price, notices = intake.settings, intake.price, intake.notices
    else:
        # That it is sent without a cost is no news to whoever has ordered it.
        settings, price, notices = replace(intake.settings, on_unpriced="send"), _no_price, Notices()
    return decide(recorded, call, settings=settings, price=price, notices=notices, now=now, parent_id=parent_id)


def _no_price(_: ModelCall) -> Price | Unpriced:
    return Unpriced("a person has said that it is to be sent without a cost", wants_entry=False)


def _call_of(named: _Named) -> ModelCall | Measurement:
    if named.call is None:
        raise _NotPossibleError("its recorded call is forgotten")
    try:
        return load_record(named.call)
    except ValueError as error:
        raise _NotPossibleError("its recorded call cannot be read") from error


def _customer_of(named: _Named) -> Customer | None:
    """Who pays for a call, by its frozen event, else because a person has said so."""
    body = _body_of(named)
    if body:
        return Customer(
            customer_id=body.get("customer_id"),
            external_customer_id=body.get("external_customer_id"),
            member_id=body.get("member_id") or body.get("external_member_id"),
        )
    try:
        call = _call_of(named)
    except _NotPossibleError:
        return None
    is_assigned = isinstance(call, Measurement) or call.is_assigned
    return call.customer if is_assigned and isinstance(call.customer, Customer) else None


def _body_of(named: _Named) -> dict[str, Any]:
    try:
        body = json.loads(named.body)
    except (TypeError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _metadata_of(named: _Named) -> Container[str]:
    metadata = _body_of(named).get("metadata")
    return metadata if isinstance(metadata, dict) else ()


def _text(value: Any) -> Any:
    return writable_text(value) if isinstance(value, str) else value
