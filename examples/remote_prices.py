"""Prices from a service of yours: asked in the delivery thread, remembered for an hour, and never on your own threads.

Needs what `quickstart.py` needs, and PRICE_SERVICE_URL, an address that answers
``GET <address>?provider=openai&model=gpt-4o-mini`` with prices in US dollars per million tokens, such as
``{"input": "0.15", "cache_read": "0.075", "output": "0.60"}``, or with 404 for a model it does not know: that call then
costs what the rate card or the catalogue says. While the service cannot be reached, calls wait on disk. Prints the
model's answer.
"""

from __future__ import annotations

import json
import os
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarInstrumentor, Price, PriceQuery, Rates, Unpriced, bill_to

REMEMBERED_S = 3_600.0
MAX_REMEMBERED = 1_000
TIMEOUT_S = 5.0
NOT_FOUND = 404


class RemotePrices:
    """A price resolver. What it raises holds the call back, and it is asked again after five minutes."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._remembered: dict[tuple[str, str], tuple[float, Rates | None]] = {}

    def __call__(self, query: PriceQuery) -> Price | Unpriced | None:
        """The price of a call; ``None`` if the service does not know its model."""
        if query.provider is None or query.model is None or query.service_tier is not None:
            return None
        rates = self._rates(query.provider, query.model)
        if rates is None:
            return None
        usd = rates.cost_usd(query.usage)
        if usd is None:
            return Unpriced(f"the price service lacks {', '.join(rates.missing(query.usage))} of {query.model!r}")
        return Price(usd, source="price service", matched=f"{query.provider}/{query.model}", rates=rates)

    def _rates(self, provider: str, model: str) -> Rates | None:
        fetched_at, rates = self._remembered.get((provider, model), (float("-inf"), None))
        if time.monotonic() - fetched_at < REMEMBERED_S:
            return rates
        rates = self._fetch(provider, model)
        if len(self._remembered) >= MAX_REMEMBERED:
            # Model names come from spans: they must not fill the memory.
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[provider, model] = (time.monotonic(), rates)
        return rates

    def _fetch(self, provider: str, model: str) -> Rates | None:
        address = f"{self._address}?{urlencode({'provider': provider, 'model': model})}"
        try:
            with urlopen(address, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the address is our own
                return Rates(json.loads(answer.read()))
        except HTTPError as error:
            if error.code == NOT_FOUND:
                return None
            raise


provider = TracerProvider()  # the one you have already
prices = RemotePrices(os.environ["PRICE_SERVICE_URL"])
PolarInstrumentor().instrument(tracer_provider=provider, price_resolvers=prices)

with bill_to("user_42"):
    answer = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "What is a usage event?"}],
    )
print(answer.choices[0].message.content)
