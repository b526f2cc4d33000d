"""Specifies ``ensure_customers`` from a call to Polar, with everything in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar import ConfigError
from otel_polar.account.sign_up import ensure_customer
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.delivery.sending.admission import NO_CUSTOMER
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def test_a_call_waits_for_its_customer_and_a_restart_sends_it(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The option is for applications that cannot promise the order."""
    options = settings(base_url=polar_sandbox.url, outbox_dir=tmp_path, ensure_customers="hold")
    first = Pipeline(options)
    first.take(a_span(), ALICE, {})

    assert not first.force_flush(10.0)
    (outbox,) = first.outboxes
    assert [(row.state, row.reason) for row in outbox.ledger()] == [(State.READY, NO_CUSTOMER)]
    assert polar_sandbox.events() == []
    first.shutdown()
    let_go(first)

    assert ALICE.external_customer_id is not None
    ensure_customer(ALICE.external_customer_id, email="a@example.com", access_token=TOKEN, base_url=polar_sandbox.url)
    second = Pipeline(options)
    # As if the seconds had passed.
    second.outboxes[0].postpone([1], due_at=0.0, reason=NO_CUSTOMER)
    assert second.force_flush(10.0)
    second.shutdown()
    let_go(second)

    assert [event["external_customer_id"] for event in polar_sandbox.events()] == [ALICE.external_customer_id]


def test_without_the_option_nobody_is_asked(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It costs requests and a scope, so it is chosen."""
    pipeline = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path))
    pipeline.take(a_span(), ALICE, {})

    assert pipeline.force_flush(10.0)
    pipeline.shutdown()
    let_go(pipeline)

    assert [request.path for request in polar_sandbox.requests] == ["/v1/events/ingest"]


def test_only_two_words_are_known() -> None:
    """A misspelt one would bill nobody, or everybody."""
    with pytest.raises(ConfigError, match="ensure_customers"):
        settings(ensure_customers="create")
