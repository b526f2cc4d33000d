"""What becomes of a recorded call: an event with a frozen body, or a held call with a reason.

Runs on the delivery thread. A call that cannot be decided is parked as ``held: unbuildable``, with the error's name:
whatever a user's function or a damaged row does, it holds back that one call and never the others.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from otel_polar.billing.call import external_id
from otel_polar.billing.card_suggestion import suggested_entry
from otel_polar.billing.catalog.hosts import AS_IF_CALLED_DIRECTLY
from otel_polar.billing.customer import Unattributed
from otel_polar.billing.event import build_event
from otel_polar.billing.measurement import build_measured_event
from otel_polar.billing.pricing import Unpriced
from otel_polar.billing.usage import Unmetered
from otel_polar.delivery.disk.rows import Decided, Recorded, State
from otel_polar.delivery.notices import describe, place_of
from otel_polar.errors import UserFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.measurement import Measurement
    from otel_polar.billing.pricing import Price
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

# ASCII, so that the number of characters is the number of bytes, and nothing can fail to be encoded later.
_encode: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def unreadable_id(call: object) -> str:
    """The external id under which a row that is no recorded call is kept: the same whenever it is read."""
    return f"unreadable:{sha256(repr(call).encode(errors='backslashreplace')).hexdigest()}"


def unreadable(recorded: Recorded, error: Exception, notices: Notices) -> Decided:
    """A row that is no recorded call: it is kept, and must not stop the others."""
    kept = recorded if isinstance(recorded.call, str) else replace(recorded, call=repr(recorded.call))
    return _held(
        kept, unreadable_id(recorded.call), State.UNBUILDABLE, f"unreadable record: {type(error).__name__}", notices
    )


def decide_measurement(
    recorded: Recorded,
    measurement: Measurement,
    *,
    parent_id: str | None,
    notices: Notices,
    now: float,
) -> Decided:
    """Build the event of usage that is no call to a model; never raises."""
    key = measurement.external_id
    what = f"an event {measurement.event_name}"
    if measurement.why_held is not None:
        return _held(recorded, key, State.UNMETERED, measurement.why_held, notices, what=what)
    if isinstance(measurement.customer, Unattributed):
        return _held(recorded, key, State.UNATTRIBUTED, measurement.customer.reason, notices, what=what)
    try:
        event = build_measured_event(measurement, now=now, parent_id=parent_id)
        return Decided(recorded, key, State.READY, body=_encode(event.body()))
    except Exception as error:  # noqa: BLE001 - an event that cannot be built must not stop the rest
        return _held(recorded, key, State.UNBUILDABLE, f"it cannot be built ({describe(error)})", notices, what=what)


def decide(
    recorded: Recorded,
    call: ModelCall,
    *,
    settings: Settings,
    price: Callable[[ModelCall], Price | Unpriced],
    notices: Notices,
    now: float,
    parent_id: str | None = None,
) -> Decided:
    """Price and build one call; never raises. *parent_id* is an event that is certain to be sent."""
    key = external_id(call)
    if isinstance(call.usage, Unmetered):
        return _held(recorded, key, State.UNMETERED, call.usage.reason, notices)
    if isinstance(call.customer, Unattributed):
        return _held(recorded, key, State.UNATTRIBUTED, call.customer.reason, notices)
    try:
        return _priced(
            recorded, key, call, settings=settings, price=price, notices=notices, now=now, parent_id=parent_id
        )
    except UserFunctionError as error:
        # What the user's exception says may hold anything, an id too: for the outbox, not for the log.
        where = "" if error.__cause__ is None else f" {place_of(error.__cause__)}"
        held = _held(recorded, key, State.UNBUILDABLE, f"{error}{where}", notices)
        return replace(held, reason=f"{error}{where}{_words(error.__cause__)}"[:_MAX_REASON_CHARACTERS])
    except Exception as error:  # noqa: BLE001 - a call that cannot be decided must not stop the rest
        return _held(recorded, key, State.UNBUILDABLE, f"it cannot be built ({describe(error)})", notices)


def _priced(
    recorded: Recorded,
    key: str,
    call: ModelCall,
    *,
    settings: Settings,
    price: Callable[[ModelCall], Price | Unpriced],
    notices: Notices,
    now: float,
    parent_id: str | None,
) -> Decided:
    answer = price(call)
    if isinstance(answer, Unpriced):
        # Once for each model, whatever becomes of its calls.
        condition = f"unpriced:{call.provider}:{call.model}:{_without_numbers(answer.reason)}"
        lines = _ON_A_CARD + suggested_entry(call, answer.host) if answer.wants_entry else ""
        notices.warn(condition, _UNPRICED_NOTICE[settings.on_unpriced], answer.reason, lines)
        if settings.on_unpriced == "hold":
            return Decided(recorded, key, State.UNPRICED, reason=answer.reason)
    elif answer.is_approximate:
        notes = "; ".join(answer.notes)
        if AS_IF_CALLED_DIRECTLY in notes:
            notes += " (gateways, OTEL_POLAR_GATEWAYS, if it passes calls on; self_hosted if it answers by itself)"
        notices.warn(f"approximate:{notes}", "costs of %s are approximate: %s", answer.matched, notes)
    event = build_event(
        call,
        None if isinstance(answer, Unpriced) else answer,
        now=now,
        markup=settings.markup,
        event_name=settings.event_name,
        map_metadata=settings.map_metadata,
        parent_id=parent_id,
    )
    return Decided(recorded, key, State.READY, body=_encode(event.body()))


def _words(error: BaseException | None) -> str:
    try:
        return "" if error is None else f": {error}"
    except Exception:  # noqa: BLE001 - even how the user's exception is written is the user's code
        return ""


def _held(
    recorded: Recorded, key: str, state: State, reason: str, notices: Notices, *, what: str = "a model call"
) -> Decided:
    notices.warn(f"{what}:{state}:{_without_numbers(reason)}", _HELD_NOTICE[state], what, reason)
    return Decided(recorded, key, state, reason=reason)


def _without_numbers(reason: str) -> str:
    # A reason with counts in it is not another one for each of them: what is said is remembered, in bounds.
    return _NUMBER.sub("#", reason)


_NUMBER: Final = re.compile(r"\d+")
_MAX_REASON_CHARACTERS: Final = 300

_UNPRICED_NOTICE: Final = {
    "hold": (
        "a model call is held as unpriced, and so will others be: %s. It is tried again at every start, and when the"
        " rate card or the catalogue changes%s"
    ),
    "send": "a model call is sent without cost (on_unpriced, OTEL_POLAR_ON_UNPRICED), and so will others be: %s%s",
}
_ON_A_CARD: Final = ". A price for it, on the rate card (rate_card, OTEL_POLAR_RATE_CARD):\n"

_HELD_NOTICE: Final = {
    State.UNMETERED: "%s is held as unmetered, and so will others be: %s",
    State.UNATTRIBUTED: "%s is held as unattributed, and so will others be: %s",
    State.UNBUILDABLE: ("%s is held because it could not be built: %s. It is tried again at every start"),
}
