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

MAY_BE_TOLD: Final = ("service_tier", "serviceTier", "speed", "inference_geo", "latency")
"""Without one of these words a text tells nothing of a tier."""

# Within a text of JSON the quotes around keys are escaped, so no content can pass for one of these.
_WORD: Final = re.compile(
    r"""(?<!\\)["'](service_tier|serviceTier|speed|inference_geo|latency)["']\s*:\s*["'](\w{1,40})["']""",
)
# LangChain tells of OpenAI's tiers in the names of the parts: flex, flex_cache_read, priority_reasoning.
_PART: Final = re.compile(r"""(?<!\\)["'](flex|priority)(?:_\w{1,20})?["']\s*:\s*[1-9]""")
_SEARCHES: Final = re.compile(r"""(?<!\\)["'](?:web_search_requests|web_fetch_requests)["']\s*:\s*[1-9]""")
_ANYWHERE: Final = frozenset({"global", "not_available", "none", "null"})


def read_service_tier(found: Found) -> str | None:
    """The tier of the answer, in lower case, as its emitter tells it.

    Anthropic's fast mode counts as one. What is surcharged beside it, a region or searches, is named with it: a list
    has no price for that.
    """
    text = found.provider_usage
    told = _words(text)
    tier = None if found.service_tier is None else found.service_tier.lower()
    tier = tier or told.get("service_tier") or _told_by_parts(text)
    if (speed := told.get("speed", "standard")) not in STANDARD_TIERS:
        tier = speed if tier is None or tier in STANDARD_TIERS else f"{tier} {speed}"
    surcharges = []
    if (region := told.get("inference_geo", "global")) not in _ANYWHERE:
        surcharges.append(f"in {region}")
    if isinstance(text, str) and _SEARCHES.search(text[:MAX_TEXT_CHARACTERS]):
        surcharges.append("with searches")
    return " ".join((tier or "standard", *surcharges)) if surcharges else tier


def read_requested_service_tier(attributes: Attributes) -> str | None:
    """The tier that was asked for, if it is not the ordinary one."""
    for name in semconv.REQUESTED_SERVICE_TIER:
        tier = attributes.get(name)
        if isinstance(tier, str) and tier:
            return None if tier.lower() in STANDARD_TIERS else tier[:MAX_NAME_CHARACTERS]
    told = _words(attributes.get(semconv.INVOCATION_PARAMETERS))
    region = told.get("inference_geo", "global")
    asked = [told.get(key, "") for key in ("service_tier", "speed", "latency")]
    asked.append("" if region in _ANYWHERE else f"in {region}")
    return next((tier for tier in asked if tier and tier not in STANDARD_TIERS), None)


def may_tell_of_tier(text: object) -> bool:
    """Whether a text has to be looked at for a tier."""
    return isinstance(text, str) and any(word in text for word in MAY_BE_TOLD)


def _told_by_parts(text: object) -> str | None:
    found = _PART.search(text[:MAX_TEXT_CHARACTERS]) if isinstance(text, str) else None
    return None if found is None else found[1]


def _words(text: object) -> dict[str, str]:
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return {}
    words: dict[str, str] = {}
    for key, word in _WORD.findall(text):
        words.setdefault("service_tier" if key == "serviceTier" else key, word.lower())
    return words
