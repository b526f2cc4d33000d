"""``otel-polar outbox discard`` as users run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.disk.rows import State
from tests.cli.outbox_support import ALICE, Applications, told
from tests.delivery.test_pipeline import a_span

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer


def test_discarded_calls_are_billed_to_nobody_even_when_they_come_again(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """The Collector delivers them again, with a customer this time."""
    pipeline = applications.start(1, 2)

    result = applications.run("discard", "--state", "unattributed", "--yes", "--json")

    assert result.returncode == 0, result.stderr
    answer = told(result)
    assert (answer["done"], answer["cost_nanos"], answer["cost_usd"]) == (2, 42_000, "0.000042")
    pipeline.take(a_span(1), ALICE, {})
    pipeline.force_flush(10.0)
    assert pipeline.outboxes[0].counts() == {State.DISCARDED: 2}
    assert polar_sandbox.events() == []


def test_what_is_on_its_way_or_there_is_never_discarded(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """It has been billed, or may have been."""
    applications.leave(1, customer=ALICE)
    (call,) = applications.seen()

    result = applications.run("discard", call["external_id"], "--yes")

    assert result.returncode == 1, "it was named, and is not discarded"
    assert "Left alone, because of their state: 1 sent" in result.stderr
    assert [each["state"] for each in applications.seen()] == ["sent"]
    assert len(polar_sandbox.events()) == 1


def test_a_call_that_is_named_and_not_there_is_said(applications: Applications) -> None:
    """A slip of the pen must not look like success; filters that fit nothing are none."""
    applications.leave(1)
    (call,) = applications.seen()

    wrong = applications.run("discard", "nope", "--yes")
    one_wrong = applications.run("discard", "nope", call["external_id"], "--yes")
    commands = (("assign", "alice"), ("release",), ("retry",))
    others = [applications.run(*command, "nope", "--yes") for command in commands]
    filters = applications.run("discard", "--model", "nothing-*", "--yes")

    assert [run.returncode for run in (wrong, one_wrong, *others)] == [1] * 5
    assert all("no such call" in run.stderr.lower() and "nope" in run.stderr for run in (wrong, one_wrong, *others))
    assert [each["state"] for each in applications.seen()] == ["discarded"]
    assert filters.returncode == 0, filters.stderr


def test_calls_of_an_ended_application_are_discarded_whatever_its_options_were(applications: Applications) -> None:
    """Nothing is made of them, so nothing can be made of them by other options."""
    applications.leave(1, 2, markup="1.25")

    everything = applications.run("discard", "--yes")
    dry = applications.run("discard", "--all", "--dry-run", "--json")
    result = applications.run("discard", "--all", "--yes")

    assert everything.returncode == 2, "everything has to be asked for"
    assert (told(dry)["calls"], told(dry)["is_dry_run"]) == (2, True)
    assert result.returncode == 0, result.stderr
    assert [call["state"] for call in applications.seen()] == ["discarded"] * 2
    assert "discarded by a person; it was held: unattributed" in applications.seen()[0]["reason"]
