"""What pricing a call costs, against ``genai_prices.calc_price`` on the same calls.

The calls are those of the table that was worked out by hand, with the usage and the time of each, as far as
genai-prices finds their models by itself. Both price all of them, one after the other,
alternately, and the figure is the ratio of the two medians.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from genai_prices import Usage, calc_price

from otel_polar.billing.catalog.catalog import Catalog
from otel_polar.billing.catalog.names import candidates, provider_id
from otel_polar.billing.pricing import price_call
from otel_polar.billing.usage import TokenUsage
from tests.billing.catalog.test_by_hand import BY_HAND, call_of
from tests.billing.support import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.billing.call import ModelCall

ROUNDS: Final = 300
DISTINCT_NAMES: Final = 100_000


def run() -> Iterator[str]:
    """The figures, a line each."""
    prices = Catalog()
    pairs = [(call, theirs) for call, _, _ in BY_HAND if (theirs := _theirs(call)) is not None]

    def ours() -> None:
        for call, _ in pairs:
            price_call(call, [prices])

    def all_of_theirs() -> None:
        for _, theirs in pairs:
            theirs()

    ours_us, theirs_us = (spent / 1_000 / len(pairs) for spent in _timed(ours, all_of_theirs))
    yield (
        f"pricing {len(pairs)} calls, one after the other / genai_prices.calc_price: {ours_us / theirs_us:.3f}"
        f" ({ours_us:.1f} / {theirs_us:.1f} us a call; at most 0.1)"
    )
    yield _distinct(prices)


def _theirs(call: ModelCall) -> Callable[[], object] | None:
    usage = call.usage
    assert isinstance(usage, TokenUsage)
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.all_cache_read_tokens,
        "cache_write_tokens": usage.all_cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
    }
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=call.start_time_unix_nano // 1_000)
    provider = provider_id(call.provider or "") or ""
    context = None if call.service_tier is None else {"service_tier": call.service_tier}
    model = next(candidates(provider, call.request_model, call.response_model))

    def price() -> object:
        return calc_price(
            Usage(**counts), model, provider_id=provider, genai_request_timestamp=at, price_context=context
        )

    try:
        price()
    except (LookupError, ValueError):
        return None
    return price


def _timed(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """The median of each, in nanoseconds, run in turn."""
    ours_ns: list[int] = []
    theirs_ns: list[int] = []
    for _ in range(ROUNDS):
        for work, spent in ((ours, ours_ns), (theirs, theirs_ns)):
            begin = time.perf_counter_ns()
            work()
            spent.append(time.perf_counter_ns() - begin)
    return statistics.median(ours_ns), statistics.median(theirs_ns)


def _distinct(prices: Catalog) -> str:
    usage = tokens(1_000, 100)
    begin = time.perf_counter()
    for number in range(DISTINCT_NAMES):
        price_call(call_of("openai", f"ft:gpt-4o-mini-2024-07-18:acme::{number:x}", usage), [prices])
    each_us = (time.perf_counter() - begin) / DISTINCT_NAMES * 1e6
    remembered = prices._find.cache_info().currsize
    return f"{DISTINCT_NAMES:,} distinct model ids: {each_us:.0f} us each, {remembered:,} remembered"
