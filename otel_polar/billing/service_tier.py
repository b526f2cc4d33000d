"""At which service tier a call was answered: batch, flex, priority and fast have prices of their own.

Only the answer says it: a request for a tier may be answered at another, and ``auto`` leaves it to the account. Where a
span has the request's word alone, the price is not known.

Sources: OpenAI, ``service_tier`` of a response; Anthropic, ``usage.service_tier``, ``usage.speed`` and
``usage.inference_geo`` of a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS
from otel_polar.billing.provider_usage import MAX_TEXT_CHARACTERS

if TYPE_CHECKING:
    from otel_polar.billing.attributes import Found
    from otel_polar.billing.span import Attributes

STANDARD_TIERS: Final = frozenset({"auto", "default", "standard", "standard_only", "on_demand"})
"""What providers call their ordinary service tier, and emitters where nothing else was asked for."""

# Within a text of JSON the quotes around keys are escaped, so no content can pass for one of these.
_WORD: Final = re.compile(r"""(?<!\\)["'](service_tier|serviceTier|speed|inference_geo)["']\s*:\s*["'](\w{1,40})["']""")
_ANYWHERE: Final = frozenset({"global", "not_available", "none", "null"})


def read_service_tier(found: Found) -> str | None:
    """The tier of the answer, as its emitter tells it; Anthropic's fast mode and surcharged regions count as tiers."""
    told = _words(found.provider_usage)
    tier = found.service_tier or told.get("service_tier")
    if told.get("speed", "standard") not in STANDARD_TIERS and (tier is None or tier in STANDARD_TIERS):
        tier = told["speed"]
    if (region := told.get("inference_geo", "global")) not in _ANYWHERE:
        return f"{tier or 'standard'} in {region}"
    return tier


def read_requested_service_tier(attributes: Attributes) -> str | None:
    """The tier that was asked for, if it is not the ordinary one."""
    for name in semconv.REQUESTED_SERVICE_TIER:
        tier = attributes.get(name)
        if isinstance(tier, str) and tier:
            return None if tier in STANDARD_TIERS else tier[:MAX_NAME_CHARACTERS]
    tier = _words(attributes.get(semconv.INVOCATION_PARAMETERS)).get("service_tier")
    return None if tier in STANDARD_TIERS else tier


def _words(text: object) -> dict[str, str]:
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return {}
    words: dict[str, str] = {}
    for key, word in _WORD.findall(text):
        words.setdefault("service_tier" if key == "serviceTier" else key, word)
    return words
