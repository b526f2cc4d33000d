"""What the tests of ``otel-polar status`` and ``otel-polar outbox`` share: applications with calls in every state."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_polar.billing.customer import NOBODY
from otel_polar.delivery.pipeline import Pipeline
from tests.delivery.deciding.test_repricing import unknown
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing answers there."""


def environment(base_url: str, outbox_dir: Path, token: str = TOKEN) -> dict[str, str]:
    """Of the command that is to look at the same directory as an application does."""
    return {"POLAR_ACCESS_TOKEN": token, "POLAR_BASE_URL": base_url, "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir)}


@contextmanager
def application(base_url: str, outbox_dir: Path, **options: object) -> Iterator[Pipeline]:
    """A process that is running with this outbox directory; it lets go of its file at the end, as if it had ended."""
    pipeline = Pipeline(settings(base_url=base_url, outbox_dir=outbox_dir, shutdown_timeout_s=0.1, **options))
    try:
        yield pipeline
    finally:
        pipeline.shutdown()
        let_go(pipeline)


def make_calls(
    pipeline: Pipeline, *, sent: int = 2, unpriced: int = 1, nobodys: int = 1, timeout_s: float = 10.0
) -> None:
    """Calls that become events, that have no price, and that nobody is to pay."""
    for number in range(sent):
        pipeline.take(a_span(number), ALICE, {"plan": "pro"})
    for number in range(sent, sent + unpriced):
        pipeline.take(unknown(number), ALICE, {})
    for number in range(sent + unpriced, sent + unpriced + nobodys):
        pipeline.take(a_span(number), NOBODY, {})
    pipeline.force_flush(timeout_s)
