"""What a provider says itself that a call cost, from providers and attributes that the user trusts by name.

OpenRouter answers the cost of every call; most other cost attributes on spans are somebody's own multiplication, by a
list of another day, with margins, or 0 where there was no list (pydantic-ai and logfire ``operation.cost``, OpenLIT
``gen_ai.usage.cost``, LiteLLM ``gen_ai.cost.total_cost``, OpenInference ``llm.cost.total``). So none is believed unless
it is named together with its provider.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_polar.billing.money import EXACT, read_amount
from otel_polar.billing.pricing import Price, Unpriced
from otel_polar.billing.provider_usage import MAX_TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import PriceQuery
    from otel_polar.billing.span import Attributes

TrustedCosts: TypeAlias = "Sequence[tuple[str, str]]"
"""A provider (its canonical name; ``*`` for any text), and the attribute whose word on its costs is trusted."""


def with_reported_cost(call: ModelCall, attributes: Attributes, trusted: TrustedCosts) -> ModelCall:
    """*call* with what its provider says that it cost.

    Args:
        call: the call that was read.
        attributes: those of its span.
        trusted: whose word is trusted. The attribute holds US dollars, or the provider's usage as text with a ``cost``
            in it.
    """
    for provider, name in trusted:
        if fnmatchcase(call.provider or "", provider):
            value = attributes.get(name)
            return call if value is None else call._replace(reported_cost_usd=_written(value))
    return call


def resolve_reported_cost(query: PriceQuery) -> Price | Unpriced | None:
    """A price resolver: the cost that a trusted span told.

    A number that is none is :class:`Unpriced`, and so is 0 for a model that does not say that it is free: emitters
    write that where they know nothing.
    """
    told = query.reported_cost_usd
    if told is None:
        return None
    try:
        usd = read_amount(told)
    except ValueError as error:
        return Unpriced(f"the cost reported by {query.provider!r} cannot be used: {error}", wants_entry=False)
    if not usd and not (query.model or "").endswith(":free"):
        reason = f"the cost reported by {query.provider!r} for {query.model!r} is 0, which may mean not known"
        return Unpriced(reason, wants_entry=False)
    return Price(usd, f"reported by {query.provider}", query.model or "")


def _written(value: object) -> str:
    """A number as text, and of anything else only what it is: text may be part of a prompt."""
    if isinstance(value, float):
        # What a float has more than 15 digits is noise: 7.199999999999999e-05.
        return format(value, ".15g")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= _WRITABLE_BITS else "a number of many digits"
    if isinstance(value, str) and _NUMERAL.fullmatch(value.strip()):
        return value.strip()
    if isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS:
        return _cost_in(value)
    return f"of type {type(value).__name__}"


def _cost_in(text: str) -> str:
    """The cost in a provider's usage as JSON (OpenRouter's ``usage.cost``, and what its own key's provider takes)."""
    try:
        usage: object = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return "text that is neither a number nor JSON"
    cost = usage.get("cost") if isinstance(usage, dict) else None
    if not isinstance(usage, dict) or isinstance(cost, bool) or not isinstance(cost, (int, str)):
        return "JSON without a cost"
    if usage.get("is_byok") is True:
        # With a key of one's own, OpenRouter's cost is its fee alone.
        details = usage.get("cost_details")
        upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
        try:
            return str(EXACT.add(read_amount(cost), read_amount(upstream)))
        except ValueError:
            return "a fee without the cost that it is for"
    return str(cost) if _NUMERAL.fullmatch(str(cost)) else "JSON without a cost"


_NUMERAL: Final = re.compile(r"[-+0-9.eE]{1,40}")
_WRITABLE_BITS: Final = 128
