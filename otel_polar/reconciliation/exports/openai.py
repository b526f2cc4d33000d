"""OpenAI's usage and costs.

Input includes what was read from a cache. Requests are counted. Costs are in dollars, by line item: ``model, kind``.

Sources: openai/openai-openapi, /organization/usage/completions, /organization/usage/embeddings, /organization/costs;
the CSV files that platform.openai.com exports have the same names as columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_polar.reconciliation.exports.form import Form
from otel_polar.reconciliation.usage import CACHE_READ, CACHE_WRITE, CALLS, COST, INPUT, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIMENSIONS: Final = frozenset(
    {
        *("object", "start_time_iso", "end_time_iso", "project_id", "project_name", "user_id", "user_email"),
        *("api_key_id", "api_key_name", "organization_id", "organization_name", "batch", "service_tier", "api_source"),
    }
)
_MEDIA: Final = frozenset(
    {
        *("input_audio_tokens", "input_cached_audio_tokens", "output_audio_tokens"),
        *("input_image_tokens", "input_cached_image_tokens", "output_image_tokens"),
    }
)


def _line_item(row: Mapping[str, Any]) -> str | None:
    item = row.get("line_item")
    return str(item).split(",")[0].strip() or None if item else None


USAGE: Final = Form(
    provider="openai",
    name="OpenAI's usage (tokens and requests)",
    required=frozenset({"start_time", "end_time", "input_tokens", "output_tokens", "num_model_requests", "model"}),
    counts={
        CALLS: ("num_model_requests",),
        INPUT: ("input_tokens",),
        CACHE_READ: ("input_cached_tokens",),
        CACHE_WRITE: ("input_cache_write_tokens",),
        OUTPUT: ("output_tokens",),
    },
    passed_over=frozenset(
        {"input_uncached_tokens", "input_text_tokens", "input_cached_text_tokens", "output_text_tokens"}
    ),
    dimensions=_DIMENSIONS,
    begin="start_time",
    end="end_time",
    model_of=lambda row: row.get("model") or None,
    # OpenAI does not say whether the totals include them.
    told_apart=_MEDIA,
)


def _costs(amount: str, currency: str) -> Form:
    return Form(
        provider="openai",
        name="OpenAI's costs (dollars)",
        required=frozenset({"start_time", "end_time", amount, "line_item"}),
        counts={COST: (amount,)},
        passed_over=frozenset({"quantity", "quantity_unit", "amount"}),
        dimensions=_DIMENSIONS,
        begin="start_time",
        end="end_time",
        model_of=_line_item,
        currency=currency,
    )


COSTS_JSON: Final = _costs("amount.value", "amount.currency")
COSTS_CSV: Final = _costs("amount_value", "amount_currency")
