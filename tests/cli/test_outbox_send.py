"""``otel-polar outbox send`` as users run it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.pipeline import Pipeline
from tests.cli.outbox_support import ALICE, NOWHERE, Applications, told
from tests.delivery.support import settings
from tests.delivery.test_pipeline import a_span

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

SOON_S: Final = 20.0
"""Far less than the minute that is otherwise waited."""


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
    _leave_one(applications)

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

    result = applications.run("send")

    assert result.returncode == 1
    assert "1 call is left" in result.stdout
    assert "Polar cannot be reached" in result.stderr
    applications.close()


def test_nobody_waits_for_a_polar_that_is_not_there(tmp_path: Path) -> None:
    """Nothing changes about that while a person looks on."""
    applications = Applications(NOWHERE, tmp_path)
    _leave_one(applications)
    begin = time.monotonic()

    result = applications.run("send", "--json")

    assert time.monotonic() - begin < SOON_S
    assert result.returncode == 1
    assert told(result)["left"] == 1
    assert "Polar cannot be reached" in told(result)["reasons"]["files without an owner"]


def test_nobody_waits_for_a_token_that_is_refused(applications: Applications, polar_sandbox: SandboxServer) -> None:
    """It is refused until somebody writes another one."""
    _leave_one(applications)
    polar_sandbox.answer_on("/v1/events/ingest", 401, b"{}", times=None)
    begin = time.monotonic()

    result = applications.run("send")

    assert time.monotonic() - begin < SOON_S
    assert result.returncode == 1
    assert "files without an owner: Polar refuses the access token" in result.stderr
    assert "HTTP 401" in result.stderr


def test_a_rate_limit_is_waited_for(applications: Applications, polar_sandbox: SandboxServer) -> None:
    """It ends by itself, and a hundred thousand calls may well meet one."""
    _leave_one(applications)
    polar_sandbox.answer_on("/v1/events/ingest", 429, b"{}", {"Retry-After": "1"}, times=1)

    result = applications.run("send")

    assert result.returncode == 0, result.stderr
    assert len(polar_sandbox.events()) == 1


def _leave_one(applications: Applications) -> None:
    pipeline = waits_long(applications, 1)
    pipeline._worker._is_stopping = True
    pipeline._worker._wake.put(None)
    applications.end(pipeline)
