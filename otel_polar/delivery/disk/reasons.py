"""Why a call was held or rejected, in a few fixed words that metrics can be counted by.

The whole reason, which is in the log and in the outbox, may name a model, a host or a key of the user's: as an
attribute of a metric each of them would be a series of its own, kept for years by a system for everybody's eyes. What
is not in these tables is "other".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHER: Final = "other"

# A part of the whole reason, and the word for it; the first that fits.
_WORDS: Final[Mapping[State, tuple[tuple[str, str], ...]]] = {
    State.UNATTRIBUTED: (
        ("no customer", "no customer"),
        ("bill_to(None)", "bill_to(None)"),
        ("baggage: ", "identity refused"),
        ("name two customers", "two customers"),
        ("an id ", "invalid id"),
        ("Polar's own ids", "invalid id"),
    ),
    State.UNMETERED: (
        ("the call failed", "call failed"),
        ("no token counts: ", "no token counts"),
        ("no count of input", "no input tokens"),
        ("no count of output", "no output tokens"),
        ("have been dropped", "attributes dropped"),
        ("impossible token counts", "impossible token counts"),
        ("block failed", "call failed"),
        ("span failed", "call failed"),
        (" is missing", "number missing"),
        (" is of type ", "impossible number"),
        (" is not a finite number", "impossible number"),
        (" is too large", "impossible number"),
        (" is negative", "impossible number"),
    ),
    State.UNPRICED: (
        ("price resolver ", "price function failed"),
        ("the cost reported by ", "reported cost"),
        ("has no provider", "unknown provider"),
        ("names no provider", "unknown provider"),
        ("approximate_models", "approximate model"),
        ("has no model", "unknown model"),
        ("no price of ", "unknown model"),
        ("service tier", "service tier"),
        (", but not at ", "service tier"),
        ("self-hosted", "self-hosted"),
        ("for calls to ", "unknown host"),
        ("catalog_accepted_moves", "price moved too far"),
        ("a price of 0", "price of 0"),
        ("audio and images", "no price of a part"),
        ("is known to be no guide", "doubtful price"),
        ("has no price for ", "no price of a part"),
    ),
    State.UNBUILDABLE: (
        ("unreadable record", "unreadable record"),
        ("event_name", "event_name"),
        ("map_metadata", "map_metadata"),
        ("markup", "markup"),
        ("it cannot be built", "event refused here"),
    ),
    # Polar names the field, and then says what is wrong with it.
    State.REJECTED: (
        ("too large", "too large"),
        ("damaged", "damaged"),
        ("external_customer_id", "external_customer_id"),
        ("external_member_id", "external_member_id"),
        ("customer_id", "customer_id"),
        ("member_id", "member_id"),
        ("external_id", "external_id"),
        ("parent_id", "parent_id"),
        ("timestamp", "timestamp"),
        ("metadata", "metadata"),
        ("name", "name"),
    ),
}


def fixed_reason(state: State, reason: str | None) -> str:
    """The fixed words for a *reason* to be in that *state*."""
    # A key in Polar's metadata may have any name.
    told = (reason or "").partition(":")[0] if state is State.REJECTED else reason or ""
    return next((word for part, word in _WORDS.get(state, ()) if part in told), OTHER)
