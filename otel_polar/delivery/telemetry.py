"""Our own metrics, through the application's ``MeterProvider``.

Used from the delivery thread only, and without a provider it costs nothing: the API's instruments do nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter

    from otel_polar.billing.call import ModelCall

UNPRICED: Final = "otel_polar.calls.unpriced"


class Telemetry:
    """What is counted. An instrument is made when it is first needed, by then the application has its provider."""

    def __init__(self) -> None:
        self._unpriced: Counter | None = None

    def count_unpriced(self, call: ModelCall) -> None:
        """A call has no known price. One that is tried again in vain counts once in a process."""
        if self._unpriced is None:
            from opentelemetry import metrics  # noqa: PLC0415 - not for the import of the package

            self._unpriced = metrics.get_meter("otel_polar").create_counter(
                UNPRICED,
                unit="{call}",
                description="Model calls that were held because no price of theirs is known",
            )
        # How many models there can be is bounded by the SDK, which adds up what is beyond its limit.
        provider, model = call.provider or "unknown", call.model or "unknown"
        self._unpriced.add(1, {"gen_ai.provider.name": provider, "otel_polar.model": model})
