"""Prices in the list that are known to be wrong or not to be the whole cost, and models that are known to be free.

A doubt about a price ends by itself when the list has another one.

Sources: each line's provider's own price page, against genai-prices 0.2.3.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

_STALE: Final = {
    # (provider, model), the price of input that is stale -> what is known
    ("deepseek", "deepseek-chat", "0.27"): "a schedule of February 2025; the model has been re-priced since",
    ("deepseek", "deepseek-chat", "0.135"): "a schedule of February 2025; the model has been re-priced since",
    ("deepseek", "deepseek-reasoner", "0.55"): "a schedule of February 2025; the model has been re-priced since",
    ("deepseek", "deepseek-reasoner", "0.135"): "a schedule of February 2025; the model has been re-priced since",
    ("mistral", "magistral-medium", "2"): "the name now stands for another model, at another price",
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88"): "the provider has re-priced it",
    ("x-ai", "grok-code-fast-1", "0.2"): "the name is answered by another model, at another price",
}
_STALE_ALIASES: Final = {
    # the same for one name of an entry
    ("mistral", "mistral-large-latest", "2"): "the name now stands for another model, at another price",
    ("mistral", "mistral-large", "2"): "the name now stands for another model, at another price",
}
_NOT_ALL: Final = {
    # (provider, beginning of the model) -> a part of the cost that is on no span
    ("perplexity", "sonar"): "Perplexity's fee for its searches depends on what is not on the span",
}
_NOT_BORROWED: Final = {
    # (provider, whose list it borrows) -> why that is not its price
    ("azure", "deepseek"): "Azure has prices of its own for DeepSeek's models",
}
_FREE: Final = {("openai", "moderation")}
_GOVERNMENT: Final = "us-gov."


def may_be_doubtful(provider: str, owner: str, model: str, name: str) -> bool:
    """Whether there is a doubt about any price of an entry; about the one that holds, :func:`why_doubtful` says."""
    stale = {(owner, model), (owner, name)} & {key[:2] for key in (*_STALE, *_STALE_ALIASES)}
    in_part = any(owner == whose and model.startswith(start) for whose, start in _NOT_ALL)
    return bool(stale) or in_part or (provider, owner) in _NOT_BORROWED


def why_doubtful(provider: str, owner: str, model: str, name: str, prices: ModelPrice) -> str | None:
    """Why a price of the list is not to be billed by, if that is known.

    Args:
        provider: whose model was called.
        owner: in whose list the price stands.
        model: the entry's id.
        name: the name by which the model was called.
        prices: the prices that hold.
    """
    amount = prices.input_mtok
    price = str(amount) if isinstance(amount, Decimal) else ""
    doubts = (
        _NOT_BORROWED.get((provider, owner)),
        _STALE.get((owner, model, price)),
        _STALE_ALIASES.get((owner, name, price)),
        next((why for (whose, start), why in _NOT_ALL.items() if owner == whose and model.startswith(start)), None),
    )
    return next(filter(None, doubts), None)


def is_free(provider: str, model: str) -> bool:
    """Whether a model costs nothing: OpenAI's moderation, and OpenRouter's models that say so in their name."""
    return (provider, model) in _FREE or (provider == "openrouter" and model.endswith(":free"))


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
