"""Anthropic's usage and costs.

Input that was neither read from nor written to a cache, what was read, and what was written (for 5 minutes, for an
hour) are told apart; the ledger's input is all of them. Requests are not counted. Costs are cents in JSON,
dollars in CSV.

Sources: platform.claude.com/docs, the Usage and Cost API (``/v1/organizations/usage_report/messages`` and
``/v1/organizations/cost_report``), and the columns of the console's CSV exports.
"""

from __future__ import annotations

from typing import Final

from otel_polar.reconciliation.exports.form import NANOS_PER_USD, Form
from otel_polar.reconciliation.usage import CACHE_READ, CACHE_WRITE, COST, INPUT, OUTPUT

_CENTS_PER_USD: Final = 100
_DIMENSIONS: Final = frozenset(
    {
        *("api_key", "api_key_id", "api_key_status", "workspace", "workspace_id", "account_id", "service_account_id"),
        *("usage_type", "context_window", "service_tier", "inference_geo", "speed", "description"),
    }
)

USAGE_JSON: Final = Form(
    provider="anthropic",
    name="Anthropic's usage (tokens)",
    required=frozenset({"starting_at", "ending_at", "uncached_input_tokens", "output_tokens", "model"}),
    counts={
        INPUT: (
            "uncached_input_tokens",
            "cache_read_input_tokens",
            "cache_creation.ephemeral_5m_input_tokens",
            "cache_creation.ephemeral_1h_input_tokens",
        ),
        CACHE_READ: ("cache_read_input_tokens",),
        CACHE_WRITE: ("cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens"),
        OUTPUT: ("output_tokens",),
    },
    passed_over=frozenset({"server_tool_use.web_search_requests", "server_tool_use", "cache_creation"}),
    dimensions=_DIMENSIONS,
    begin="starting_at",
    end="ending_at",
    model_of=lambda row: row.get("model") or None,
)
_CSV_WRITES: Final = (
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
    # Before there were caches of an hour.
    "usage_input_tokens_cache_write",
)
USAGE_CSV: Final = Form(
    provider="anthropic",
    name="Anthropic's usage (tokens), from the console",
    required=frozenset({"usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"}),
    counts={
        INPUT: ("usage_input_tokens_no_cache", "usage_input_tokens_cache_read", *_CSV_WRITES),
        CACHE_READ: ("usage_input_tokens_cache_read",),
        CACHE_WRITE: _CSV_WRITES,
        OUTPUT: ("usage_output_tokens",),
    },
    passed_over=frozenset({"web_search_count"}),
    dimensions=_DIMENSIONS,
    begin="usage_date_utc",
    end=None,
    model_of=lambda row: row.get("model_version") or None,
)
COSTS_JSON: Final = Form(
    provider="anthropic",
    name="Anthropic's costs (cents)",
    required=frozenset({"starting_at", "ending_at", "amount", "currency", "model"}),
    counts={COST: ("amount",)},
    passed_over=frozenset({"list_amount"}),
    dimensions=_DIMENSIONS | {"cost_type", "token_type"},
    begin="starting_at",
    end="ending_at",
    model_of=lambda row: row.get("model") or row.get("description") or None,
    nanos_per_unit=NANOS_PER_USD // _CENTS_PER_USD,
    currency="currency",
)
COSTS_CSV: Final = Form(
    provider="anthropic",
    name="Anthropic's costs (dollars), from the console",
    required=frozenset({"usage_date_utc", "model", "cost_usd"}),
    counts={COST: ("cost_usd",)},
    passed_over=frozenset({"list_price_usd"}),
    dimensions=_DIMENSIONS | {"cost_type", "token_type"},
    begin="usage_date_utc",
    end=None,
    model_of=lambda row: row.get("model") or row.get("cost_type") or None,
)
