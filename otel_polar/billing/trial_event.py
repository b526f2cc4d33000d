"""The event that is sent to see whether events arrive. No meter counts its name, and nothing on it is an amount."""

from __future__ import annotations

from typing import Any, Final

NAME: Final = "otel_polar_test"
"""Its name, which is nobody's usage."""

TRIAL_KEY: Final = "otel_polar_test_id"
UNKNOWN_CUSTOMER: Final = "otel-polar-test"
"""For whom it is where nobody is named. Polar takes events for ids that it does not know."""


def trial_event(trial_id: str, external_customer_id: str | None = None) -> dict[str, Any]:
    """An event that is one of its own by *trial_id*. It has no timestamp, so the one of its arrival is taken."""
    return {
        "name": NAME,
        "external_customer_id": external_customer_id or UNKNOWN_CUSTOMER,
        "external_id": f"otel-polar-test-{trial_id}",
        "metadata": {TRIAL_KEY: trial_id},
    }
