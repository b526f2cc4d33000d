"""Prices in the list that are known to be wrong or not to be the whole cost, and models that are known to be free.

A doubt about a price ends by itself when the list has another one.

Sources: each line's provider's own price page, against genai-prices 0.2.3.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from datetime import datetime

    from genai_prices.types import ModelPrice

_RESCHEDULED: Final = "a schedule of February 2025; the model has been re-priced since"
_MOVED: Final = "the name now stands for another model, at another price"
_STALE: Final = {
    # (provider, model or one of its names), the price of input that is stale -> what is known
    ("deepseek", "deepseek-chat"): ({Decimal("0.27"), Decimal("0.135")}, _RESCHEDULED),
    ("deepseek", "deepseek-reasoner"): ({Decimal("0.55"), Decimal("0.135")}, _RESCHEDULED),
    ("mistral", "magistral-medium"): ({Decimal(2)}, _MOVED),
    ("mistral", "mistral-large-latest"): ({Decimal(2)}, _MOVED),
    ("mistral", "mistral-large"): ({Decimal(2)}, _MOVED),
    ("mistral", "mistral-medium-3"): ({Decimal("1.5")}, "another model's price"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"): ({Decimal("0.88")}, "the provider has re-priced it"),
    ("x-ai", "grok-code-fast-1"): ({Decimal("0.2")}, _MOVED),
}
_NAMES_ONLY: Final = {("mistral", "mistral-large")}
"""Names that are also ids of entries whose other names are priced rightly."""

_SEARCH: Final = "a fee for searches, which are not on the span, comes on top"
_NOT_ALL: Final = (
    # whose list, what is in the model's id, what is known
    ("perplexity", re.compile(r"^sonar"), _SEARCH),
    ("openrouter", re.compile(r"^perplexity/"), _SEARCH),
    ("openai", re.compile(r"search-(?:preview|api)"), _SEARCH),
    ("openai", re.compile(r"^gpt-oss-"), "OpenAI does not sell it; who answers sets the price"),
)
_NOT_BORROWED: Final = {
    # (provider, whose list it borrows) -> why that is not its price
    ("azure", "deepseek"): "Azure has prices of its own for DeepSeek's models",
}
_FREE: Final = {("openai", "moderation")}
_GOVERNMENT: Final = "us-gov."

# DeepSeek's peak hours, in UTC: they are working days' only, and began on that day (api-docs.deepseek.com).
_PEAK_MODELS: Final = ("deepseek", "deepseek-v4")
_PEAK_HOURS: Final = frozenset({1, 2, 3, 6, 7, 8, 9})
_PEAK_SINCE: Final = date(2026, 8, 17)
_SATURDAY: Final = 5


def may_be_doubtful(provider: str, owner: str, model: str, name: str) -> bool:
    """Whether there is a doubt about any price of an entry; about the one that holds, :func:`why_doubtful` says."""
    has_peaks = owner == _PEAK_MODELS[0] and model.startswith(_PEAK_MODELS[1])
    is_stale = not _STALE.keys().isdisjoint({(owner, model), (owner, name)})
    return is_stale or has_peaks or (provider, owner) in _NOT_BORROWED or _part_missing(owner, model) is not None


def why_doubtful(provider: str, owner: str, model: str, name: str, *, prices: ModelPrice, at: datetime) -> str | None:
    """Why a price of the list is not to be billed by, if that is known.

    Args:
        provider: whose model was called.
        owner: in whose list the price stands.
        model: the entry's id.
        name: the name by which the model was called.
        prices: the prices that hold.
        at: when, in UTC.
    """
    return (
        _NOT_BORROWED.get((provider, owner))
        or _part_missing(owner, model)
        or _why_stale(owner, model, name, prices)
        or _why_no_peak(owner, model, at)
    )


def _part_missing(owner: str, model: str) -> str | None:
    return next((why for whose, pattern, why in _NOT_ALL if owner == whose and pattern.search(model)), None)


def _why_stale(owner: str, model: str, name: str, prices: ModelPrice) -> str | None:
    names = {(owner, name)} if (owner, model) in _NAMES_ONLY else {(owner, model), (owner, name)}
    for key in names & _STALE.keys():
        stale, why = _STALE[key]
        if prices.input_mtok in stale:
            return why
    return None


def _why_no_peak(owner: str, model: str, at: datetime) -> str | None:
    if owner != _PEAK_MODELS[0] or not model.startswith(_PEAK_MODELS[1]) or at.hour not in _PEAK_HOURS:
        return None
    has_peak = at.date() >= _PEAK_SINCE and at.weekday() < _SATURDAY
    return None if has_peak else "peak prices hold on working days, and since 2026-08-17, only"


def is_free(provider: str, model: str) -> bool:
    """Whether a model costs nothing: OpenAI's moderation, and OpenRouter's models that say so in their name."""
    return (provider, model) in _FREE or (provider == "openrouter" and model.endswith(":free"))


def is_of_media(model: str) -> bool:
    """Whether a model is made for audio or images, which cost ten times as much as its text, or more."""
    return _MEDIA_MODEL.search(model) is not None and _SPEECH_MODEL.search(model) is None


def why_media_unknown(usage: TokenUsage) -> str | None:
    """Why a model for audio or images cannot be priced by *usage*: an emitter that tells only totals does not say."""
    return None if any(usage[_FIRST_MEDIA:]) else "the span does not say which of the tokens were audio or images"


_MEDIA_MODEL: Final = re.compile(r"audio|realtime|transcribe|sonic|-live(?:-|$)|image")
_SPEECH_MODEL: Final = re.compile(r"tts")
_FIRST_MEDIA: Final = TokenUsage._fields.index("audio_input_tokens")


def why_other_region(provider: str, name: str) -> str | None:
    """Why the list's price does not hold in the region that a model's name tells of, if it is known not to."""
    if provider == "aws" and (name.startswith(_GOVERNMENT) or f"/{_GOVERNMENT}" in name):
        return "AWS GovCloud costs more than the list says"
    return None


def why_approximate(provider: str, owner: str, name: str) -> str | None:
    """Why the list's price may be off for a call to *provider*, priced by the list of *owner*, if it may."""
    if provider == "azure":
        return "Azure's price depends on the region and the kind of deployment, which are not on the span"
    if provider == "aws" and "amazon.nova" in name and not name.startswith(("us.", "amazon.", "global.")):
        return "Amazon Nova may cost more outside the United States"
    return f"by the list of {owner}" if owner != provider else None
