"""Turn the LLM spans an application already emits into usage events on Polar.

::

    from opentelemetry.sdk.trace import TracerProvider
    from otel_polar import PolarSpanProcessor, bill_to

    provider = TracerProvider()
    provider.add_span_processor(PolarSpanProcessor())  # POLAR_ACCESS_TOKEN from the environment

    with bill_to("user_42", plan="pro"):
        client.chat.completions.create(...)  # one event on Polar, with tokens and cost
"""

from importlib import import_module
from typing import TYPE_CHECKING

from otel_polar._version import __version__
from otel_polar.capture.attribution import bill_to
from otel_polar.capture.processor import PolarSpanProcessor
from otel_polar.errors import ConfigError, OtelPolarError

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.customer import Customer
    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver, Unpriced
    from otel_polar.billing.rate_card import RateCard
    from otel_polar.billing.rates import Rates
    from otel_polar.billing.usage import TokenUsage
    from otel_polar.settings import Settings

__all__ = [
    "ConfigError",
    "Customer",
    "ModelCall",
    "OtelPolarError",
    "PolarSpanProcessor",
    "Price",
    "PriceQuery",
    "PriceResolver",
    "RateCard",
    "Rates",
    "Settings",
    "TokenUsage",
    "Unpriced",
    "__version__",
    "bill_to",
]

# Types for annotations and tools: not worth milliseconds of every start.
_LAZY = {
    "Customer": "otel_polar.billing.customer",
    "ModelCall": "otel_polar.billing.call",
    "Price": "otel_polar.billing.pricing",
    "PriceQuery": "otel_polar.billing.pricing",
    "PriceResolver": "otel_polar.billing.pricing",
    "RateCard": "otel_polar.billing.rate_card",
    "Rates": "otel_polar.billing.rates",
    "Settings": "otel_polar.settings",
    "TokenUsage": "otel_polar.billing.usage",
    "Unpriced": "otel_polar.billing.pricing",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
