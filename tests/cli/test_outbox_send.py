"""``otel-polar outbox send`` as users run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.pipeline import Pipeline
from tests.cli.outbox_support import ALICE, NOWHERE, Applications, told
from tests.delivery.support import settings
from tests.delivery.test_pipeline import a_span

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def waits_long(applications: Applications, *numbers: int) -> Pipeline:
    """An application whose calls rest for an hour."""
    pipeline = Pipeline(
        settings(base_url=applications.base_url, outbox_dir=applications.directory, settle_s=3_600.0, linger_s=60.0)
    )
    applications._living.append(pipeline)
    for number in numbers:
        pipeline.take(a_span(number), ALICE, {})
    return pipeline


def test_a_running_application_sends_what_it_has_at_once(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Before a reconciliation, or the end of a month."""
    waits_long(applications, 1, 2)

    result = applications.run("send", "--json")

    assert result.returncode == 0, result.stderr
    assert told(result) == {"waiting": 2, "left": 0, "is_dry_run": False, "reasons": {}}
    assert len(polar_sandbox.events()) == 2
    assert applications.orders() == []


def test_what_an_ended_application_has_left_is_sent_from_here(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Nobody else would."""
    pipeline = waits_long(applications, 1)
    pipeline._worker._is_stopping = True
    pipeline._worker._wake.put(None)
    applications.end(pipeline)

    dry = applications.run("send", "--dry-run")
    result = applications.run("send")

    assert "1 call waits to be sent" in dry.stdout
    assert result.returncode == 0, result.stderr
    assert "Nothing is left to be sent" in result.stdout
    assert len(polar_sandbox.events()) == 1


def test_what_cannot_be_sent_is_said_with_its_reason(tmp_path: Path) -> None:
    """A Polar that is down: the command ends with 1, and nothing is lost."""
    applications = Applications(NOWHERE, tmp_path)
    waits_long(applications, 1)

    result = applications.run("send", "--timeout", "2")

    assert result.returncode == 1
    assert "1 call is left" in result.stdout
    assert "Polar has to be waited for" in result.stderr
    applications.close()
