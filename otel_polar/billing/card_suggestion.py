"""The lines to add to a rate card for a call that has no price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from otel_polar.billing.rates import BUCKETS
from otel_polar.billing.service_tier import STANDARD_TIERS
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

_ALWAYS: Final = ("input", "output")


def suggested_lines(call: ModelCall) -> str:
    """An entry in TOML for the model of *call*, with every bucket that it used; only the prices are left to fill in."""
    usage = call.usage if isinstance(call.usage, TokenUsage) else ()
    used = [bucket for bucket, tokens in zip(BUCKETS, usage, strict=False) if tokens]
    buckets = dict.fromkeys((*_ALWAYS, *used))
    prices = ", ".join(f'{bucket} = "?"' for bucket in buckets)
    tier = call.service_tier or call.requested_service_tier
    special = tier is not None and tier.lower() not in STANDARD_TIERS
    return "\n".join(
        (
            "[[prices]]",
            f"provider = {_quoted(call.provider or '*')}",
            f"model = {_quoted(call.model or '*')}",
            *((f"service_tier = {_quoted(tier if call.service_tier else '*')}",) if special and tier else ()),
            f"usd_per_million_tokens = {{ {prices} }}",
        ),
    )


def _quoted(text: str) -> str:
    # JSON in ASCII is a TOML string but for half a surrogate pair; names come from spans, so from anybody.
    return json.dumps(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")).replace("\x7f", "\\u007f")
