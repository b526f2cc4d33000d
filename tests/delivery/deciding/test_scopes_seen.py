from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.delivery.deciding.scopes_seen import ScopesSeen
from otel_polar.delivery.notices import Notices
from tests.billing.support import model_call

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

AI_SDK: Final = model_call(scope_name="ai", service_name="shop")
CLIENT: Final = model_call(scope_name="@opentelemetry/instrumentation-openai", service_name="shop")


@pytest.mark.parametrize(
    ("other", "is_said", "reason"),
    [
        (CLIENT, "yes", "two of one application may both tell of one call"),
        (CLIENT._replace(service_name="desk"), "no", "of two applications behind one Collector they cannot"),
        (AI_SDK._replace(service_name="desk"), "no", "one instrumentation in two applications"),
    ],
)
def test_two_instrumentations_of_one_application_are_said(
    other: ModelCall, is_said: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever follows the advice (`bill_scopes`) for two applications loses the calls of one of them."""
    ScopesSeen(Notices()).look_at([AI_SDK, other])

    assert ("SEEN BY TWO INSTRUMENTATIONS" in caplog.text) == (is_said == "yes"), reason
