"""The lines to add to a rate card for a call that has no price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.billing.rates import BUCKETS
from otel_polar.billing.service_tier import STANDARD_TIERS
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import PriceQuery

_ALWAYS: Final = ("input", "output")


def suggested_entry(call: ModelCall | PriceQuery, host: str | None = None) -> str:
    """An entry in TOML for the model of a call, with every bucket that it used; only the prices are left to fill in.

    With a *host* it holds for calls to that one only.
    """
    usage = call.usage if isinstance(call.usage, TokenUsage) else ()
    used = [bucket for bucket, tokens in zip(BUCKETS, usage, strict=False) if tokens]
    buckets = dict.fromkeys((*_ALWAYS, *used))
    prices = ", ".join(f'{bucket} = "?"' for bucket in buckets)
    return "\n".join(
        (
            "[[prices]]",
            f"provider = {_quoted(call.provider or '*')}",
            f"model = {_quoted(call.model or '*')}",
            *_tier_lines(call),
            *(() if host is None else (f"server_address = {_quoted(host)}",)),
            f"usd_per_million_tokens = {{ {prices} }}",
        ),
    )


def _tier_lines(call: ModelCall | PriceQuery) -> list[str]:
    if call.service_tier is not None:
        is_special = call.service_tier.lower() not in STANDARD_TIERS
        return [f"service_tier = {_quoted(call.service_tier)}"] if is_special else []
    if call.requested_service_tier is None:
        return []
    return ['service_tier = "*"  # any: which one answered is not on the span']


def _quoted(text: str) -> str:
    """A TOML string in printable ASCII: names come from spans, so from anybody, and this is written into logs."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    point = ord(character)
    if character.isascii() and character.isprintable() and character not in '"\\':
        return character
    if _FIRST_SURROGATE <= point <= _LAST_SURROGATE:
        return "\\ufffd"
    return f"\\u{point:04x}" if point <= _LAST_OF_FOUR_DIGITS else f"\\U{point:08x}"


_FIRST_SURROGATE: Final = 0xD800
_LAST_SURROGATE: Final = 0xDFFF
_LAST_OF_FOUR_DIGITS: Final = 0xFFFF
