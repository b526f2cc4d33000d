"""What the check of every test's log (``tests/conftest.py``) would find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor, bill_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Confidential

PROMPT = "Please tell nobody that I have lost my keys."


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Polar refuses polar_oat_Zx81 (401)", ["polar_oat_Zx81"]),
        ("3 calls of payer_0815@example.com wait", ["payer_0815@example.com"]),
        (f"cannot build {{'content': '{PROMPT}'}}", [PROMPT[:24]]),
        ("3 calls wait; check POLAR_ACCESS_TOKEN", []),
    ],
)
def test_a_line_with_a_token_a_customer_or_content_would_be_found(
    line: str, found: list[str], confidential: Confidential, tmp_path: Path
) -> None:
    """A check that cannot fail would not be one."""
    processor = PolarSpanProcessor(access_token="polar_oat_test", base_url="http://127.0.0.1:9", outbox_dir=tmp_path)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    with bill_to("payer_0815@example.com"):
        attributes: dict[str, str | int] = {"gen_ai.operation.name": "chat", "gen_ai.prompt.0.content": PROMPT}
        provider.get_tracer("opentelemetry.instrumentation.openai.v1").start_span("chat", attributes=attributes).end()

    assert confidential.found_in(line) == found
    provider.shutdown()
