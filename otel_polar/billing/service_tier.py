"""At which service tier a call was answered: batch, flex, priority and fast have prices of their own.

Only the answer says it: a request for a tier may be answered at another, and ``auto`` leaves it to the account. Where a
span has the request's word alone, the price is not known.

Sources: OpenAI, ``service_tier`` of a response; Anthropic, ``usage.service_tier``, ``usage.speed`` and
``usage.inference_geo`` of a message.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS
from otel_polar.billing.provider_usage import MAX_TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.attributes import Found
    from otel_polar.billing.span import Attributes

STANDARD_TIERS: Final = frozenset({"auto", "default", "standard", "standard_only", "on_demand"})
"""What providers call their ordinary service tier, and emitters where nothing else was asked for."""

# Within a text of JSON the quotes around keys are escaped, so no content can pass for one of these.
_WORD: Final = re.compile(
    r"""(?<!\\)["'](service_tier|serviceTier|speed|inference_geo|latency)["']\s*:\s*["'](\w{1,40})["']""",
)
# LangChain tells of OpenAI's tiers in the names of the parts: flex, flex_cache_read, priority_reasoning.
_PART: Final = re.compile(r"""(?<!\\)["'](flex|priority)(?:_\w{1,20})?["']\s*:\s*[1-9]""")
_SEARCHES: Final = re.compile(r"""(?<!\\)["'](?:web_search_requests|web_fetch_requests)["']\s*:\s*[1-9]""")
_ANYWHERE: Final = frozenset({"global", "not_available", "none", "null"})


def read_service_tier(found: Found) -> str | None:
    """The tier of the answer, as its emitter tells it.

    Anthropic's fast mode counts as one. What is surcharged beside it, a region or searches, is named with it: a list
    has no price for that.
    """
    text = found.provider_usage
    told = _words(text)
    tier = found.service_tier or told.get("service_tier") or _told_by_parts(text)
    if (speed := told.get("speed", "standard")) not in STANDARD_TIERS:
        tier = speed if tier is None or tier.lower() in STANDARD_TIERS else f"{tier} {speed}"
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
    return read_asked_tier(attributes.get(semconv.INVOCATION_PARAMETERS))


def read_asked_tier(parameters: object) -> str | None:
    """The tier that is asked for in the parameters of a request, as JSON, if it is not the ordinary one."""
    if not isinstance(parameters, str) or not _may_tell(parameters):
        return None
    # An application asks with the same parameters again and again, and this is on its own threads.
    return _remembered_asked(parameters) if len(parameters) <= _MAX_REMEMBERED_CHARACTERS else _find_asked(parameters)


def _may_tell(text: str) -> bool:
    # Written out: it is looked for in every request's parameters.
    return (
        "service_tier" in text
        or "speed" in text
        or "serviceTier" in text
        or "inference_geo" in text
        or "latency" in text
    )


def _find_asked(parameters: str) -> str | None:
    told = _words(parameters)
    region = told.get("inference_geo", "global")
    asked = [told.get(key, "") for key in ("service_tier", "speed", "latency")]
    asked.append("" if region in _ANYWHERE else f"in {region}")
    return next((tier for tier in asked if tier and tier not in STANDARD_TIERS), None)


def _told_by_parts(text: object) -> str | None:
    found = _PART.search(text[:MAX_TEXT_CHARACTERS]) if isinstance(text, str) else None
    return None if found is None else found[1]


def _words(text: object) -> Mapping[str, str]:
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return {}
    words: dict[str, str] = {}
    for key, word in _WORD.findall(text):
        words.setdefault("service_tier" if key == "serviceTier" else key, word.lower())
    return words


_MAX_REMEMBERED_CHARACTERS: Final = 500
_remembered_asked = lru_cache(maxsize=256)(_find_asked)
