"""What to do about calls that are held or rejected, by state and reason (``disk.reasons``), as in the README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.reasons import OTHER
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Mapping

_CARD: Final = (
    "Give it a price on the rate card (rate_card, OTEL_POLAR_RATE_CARD); the log has the lines to add. A changed card"
    " is read within 30 s, and these are tried again; so they are by `otel-polar outbox reprice`, and at every start."
)
_KEPT: Final = "What is held already is kept for retention_days, and is billed to nobody."
_ASSIGN: Final = "What is held already is kept for retention_days: `otel-polar outbox assign` says who pays for it."
_REFUSED: Final = "When that is mended, `otel-polar outbox retry` sends it again."
_FUNCTION: Final = "It is tried again at the next start, and with `otel-polar outbox reprice`."
_IDS: Final = "An id is text of 1 to 200 characters, without control characters, `;` or white space around it."
_ASK_FOR_USAGE: Final = (
    "Have the span tell its tokens: streams of OpenAI do with stream_options={'include_usage': True}, or with"
    " PolarInstrumentor in the application; see “Which spans are billed” in the README for other emitters."
)

_ADVICE: Final[Mapping[State, Mapping[str, str]]] = {
    State.UNPRICED: {
        "price function failed": "Your function raised (price_resolvers); it is tried again, at least once an hour.",
        "reported cost": "The cost that the span reports cannot be used: see trusted_costs (OTEL_POLAR_TRUSTED_COSTS).",
        "unknown provider": f"The span names no known provider: have gen_ai.provider.name set on it. Or: {_CARD}",
        "approximate model": (
            "The list has it only without its date, or under a like name: take that price with"
            f" approximate_models=price (OTEL_POLAR_APPROXIMATE_MODELS). Or: {_CARD}"
        ),
        "unknown model": _CARD,
        "service tier": f"No price of this tier is known. {_CARD}",
        "self-hosted": f"No list price holds at this host (self_hosted), only your own. {_CARD}",
        "unknown host": (
            "Name the host in gateways (OTEL_POLAR_GATEWAYS) if it passes calls on, or in self_hosted"
            f" (OTEL_POLAR_SELF_HOSTED) if it answers by itself. Or: {_CARD}"
        ),
        "price moved too far": (
            "A fetched price is far from the installed one. If it is right, name the entry in catalog_accepted_moves"
            " (OTEL_POLAR_CATALOG_ACCEPTED_MOVES)."
        ),
        "price of 0": f"The list says 0, and nobody knows that it is free. {_CARD}",
        "no price of a part": f"A part of it, such as audio or images, has no price of its own. {_CARD}",
        "doubtful price": f"The price in the list is known to be no guide. {_CARD}",
        OTHER: _CARD,
    },
    State.UNATTRIBUTED: {
        "no customer": (
            "Nobody is named: enter bill_to in the application, or set one of external_customer_id_keys, such as"
            f" enduser.id, on the span of the call or on one around it. {_ASSIGN}"
        ),
        "bill_to(None)": f"The application says that nobody pays, with bill_to(None). {_ASSIGN}",
        "identity refused": (
            "An identity in baggage is unsigned, altered or too old: the services do not have the same baggage_secret"
            f" (OTEL_POLAR_BAGGAGE_SECRET), or somebody tried. {_ASSIGN}"
        ),
        "two customers": f"Two spans of one call name two customers: see which instrumentation is wrong. {_ASSIGN}",
        "invalid id": f"{_IDS} Polar's own ids are UUIDs. {_ASSIGN}",
        OTHER: _ASSIGN,
    },
    State.UNMETERED: {
        "call failed": f"A call that failed tells no tokens; the provider may charge for them all the same. {_KEPT}",
        "no token counts": f"{_ASK_FOR_USAGE} {_KEPT}",
        "no input tokens": f"{_ASK_FOR_USAGE} {_KEPT}",
        "no output tokens": f"{_ASK_FOR_USAGE} {_KEPT}",
        "attributes dropped": (
            f"The SDK dropped attributes of the span: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT in the application. {_KEPT}"
        ),
        "impossible token counts": f"The counts on the span contradict each other: its emitter is wrong. {_KEPT}",
        "number missing": f"The span lacks a number that its rule asks for (span_rules). {_KEPT}",
        "impossible number": f"A number on the span cannot be used. {_KEPT}",
        OTHER: _KEPT,
    },
    State.UNBUILDABLE: {
        "unreadable record": "What lies on the disk is damaged. Keep the file, and see to the disk.",
        "event_name": f"Your function event_name raised, or gave no name. Mend it. {_FUNCTION}",
        "map_metadata": f"Your function map_metadata raised, or gave what cannot be sent. Mend it. {_FUNCTION}",
        "markup": f"Your markup raised, or gave no number. Mend it. {_FUNCTION}",
        "event refused here": f"It would be refused by Polar. {_FUNCTION}",
        OTHER: _FUNCTION,
    },
    State.REJECTED: {
        "too large": f"The event alone is larger than Polar takes: shorten its tags. {_REFUSED}",
        "damaged": f"The event on the disk is damaged: see to the disk. {_REFUSED}",
        "external_customer_id": f"Polar does not take this id of a customer. {_REFUSED}",
        "external_member_id": f"Polar knows no such member of the customer: create it in Polar. {_REFUSED}",
        "customer_id": f"Polar knows no customer of this id in this organization and server. {_REFUSED}",
        "member_id": f"Polar knows no such member of the customer: create it in Polar. {_REFUSED}",
        "external_id": f"Polar does not take the id of the event. {_REFUSED}",
        "parent_id": f"Polar knows no event of the run that this one names. {_REFUSED}",
        "timestamp": f"Polar does not take the event's time: see to the clocks. {_REFUSED}",
        "metadata": f"Polar does not take a tag of the event: see tags and map_metadata. {_REFUSED}",
        "name": f"Polar does not take the name of the event: see event_name. {_REFUSED}",
        OTHER: f"Polar's reason says what it does not take. {_REFUSED}",
    },
}


def what_to_do(state: State, reason: str) -> str:
    """In words, for calls in that *state* for that *reason*."""
    by_reason = _ADVICE.get(state, {})
    return by_reason.get(reason, by_reason.get(OTHER, ""))
