"""``otel-polar outbox retry`` as users run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.disk.rows import State
from tests.cli.outbox_support import ALICE, Applications, told

if TYPE_CHECKING:
    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.sandbox import SandboxServer


def reject(pipeline: Pipeline) -> None:
    """As if Polar had refused everything that is ready or was sent."""
    (outbox,) = pipeline.outboxes
    outbox.database.write("UPDATE events SET state = 'rejected', reason = 'customer_id: no such customer'", ())


def test_a_running_application_sends_refused_events_once_more(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """After the customer was made; Polar, which has them by then, tells each from a new one."""
    pipeline = applications.start(1, 2, customer=ALICE)
    reject(pipeline)

    result = applications.run("retry", "--reason", "no such customer", "--yes", "--json")

    assert result.returncode == 0, result.stderr
    assert told(result)["done"] == 2
    assert pipeline.force_flush(10.0)
    assert pipeline.outboxes[0].counts() == {State.SENT: 2}
    assert len(polar_sandbox.events()) == 2


def test_refused_events_of_an_ended_application_are_sent_as_they_were(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Whatever its options were: the event is frozen. Sent is it by whoever has the same ones."""
    pipeline = applications.start(1, customer=ALICE)
    reject(pipeline)
    applications.end(pipeline)

    result = applications.run("retry", "--yes", "--json")

    assert result.returncode == 0, result.stderr
    assert (told(result)["done"], told(result)["is_sent"]) == (1, True)
    assert [call["state"] for call in applications.seen()] == ["sent"]
    assert len(polar_sandbox.events()) == 1


def test_an_event_is_built_anew_from_its_call_if_that_is_still_kept(applications: Applications) -> None:
    """Where it is not, that is said, and the event stays refused."""
    pipeline = applications.start(1, 2, customer=ALICE)
    reject(pipeline)
    pipeline.outboxes[0].database.write("UPDATE events SET call = NULL WHERE seq = 1", ())

    result = applications.run("retry", "--rebuild", "--yes")

    assert result.returncode == 1
    assert "its recorded call is forgotten" in result.stdout
    assert "done" in result.stdout


def test_a_function_that_was_mended_builds_what_could_not_be_built(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Without a restart."""
    is_broken = [True]

    def name(_: object) -> str:
        if is_broken:
            raise LookupError("not yet")
        return "my_llm"

    applications.start(1, customer=ALICE, event_name=name)
    is_broken.clear()

    result = applications.run("retry", "--yes", "--json")

    assert result.returncode == 0, result.stderr
    (event,) = polar_sandbox.wait_for_events(1)
    assert event["name"] == "my_llm"
