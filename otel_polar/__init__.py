"""Turn the LLM spans an application already emits into usage events on Polar.

::

    from opentelemetry.sdk.trace import TracerProvider
    from otel_polar import PolarInstrumentor, bill_to

    provider = TracerProvider()
    PolarInstrumentor().instrument(tracer_provider=provider)  # POLAR_ACCESS_TOKEN from the environment

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
    from otel_polar.account.customers import EnsuredCustomer
    from otel_polar.account.sign_up import ensure_customer
    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.customer import Customer
    from otel_polar.billing.measurement import SpanRule
    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver, Unpriced
    from otel_polar.billing.rate_card import RateCard
    from otel_polar.billing.rates import Rates
    from otel_polar.billing.usage import TokenUsage
    from otel_polar.capture.baggage import hide_billing_baggage
    from otel_polar.capture.exporter import PolarSpanExporter
    from otel_polar.capture.instrumentor import PolarInstrumentor
    from otel_polar.capture.metered import metered
    from otel_polar.capture.sampling import BillingSampler
    from otel_polar.capture.threads import carry_context
    from otel_polar.checkup.doctor import doctor
    from otel_polar.errors import InsufficientCredits
    from otel_polar.settings import Settings

__all__ = [
    "BillingSampler",
    "ConfigError",
    "Customer",
    "EnsuredCustomer",
    "InsufficientCredits",
    "ModelCall",
    "OtelPolarError",
    "PolarInstrumentor",
    "PolarSpanExporter",
    "PolarSpanProcessor",
    "Price",
    "PriceQuery",
    "PriceResolver",
    "RateCard",
    "Rates",
    "Settings",
    "SpanRule",
    "TokenUsage",
    "Unpriced",
    "__version__",
    "bill_to",
    "carry_context",
    "doctor",
    "ensure_customer",
    "hide_billing_baggage",
    "metered",
]

# Types for annotations and tools: not worth milliseconds of every start.
_LAZY = {
    "BillingSampler": "otel_polar.capture.sampling",
    "Customer": "otel_polar.billing.customer",
    "EnsuredCustomer": "otel_polar.account.customers",
    "InsufficientCredits": "otel_polar.errors",
    "ModelCall": "otel_polar.billing.call",
    "PolarInstrumentor": "otel_polar.capture.instrumentor",
    "PolarSpanExporter": "otel_polar.capture.exporter",
    "Price": "otel_polar.billing.pricing",
    "PriceQuery": "otel_polar.billing.pricing",
    "PriceResolver": "otel_polar.billing.pricing",
    "RateCard": "otel_polar.billing.rate_card",
    "Rates": "otel_polar.billing.rates",
    "Settings": "otel_polar.settings",
    "SpanRule": "otel_polar.billing.measurement",
    "TokenUsage": "otel_polar.billing.usage",
    "Unpriced": "otel_polar.billing.pricing",
    "carry_context": "otel_polar.capture.threads",
    "doctor": "otel_polar.checkup.doctor",
    "ensure_customer": "otel_polar.account.sign_up",
    "hide_billing_baggage": "otel_polar.capture.baggage",
    "metered": "otel_polar.capture.metered",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
