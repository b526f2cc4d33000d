"""``otel-polar outbox assign`` as users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.rows import State
from tests.cli.command import ROOT
from tests.cli.outbox_support import NOWHERE, Applications, told
from tests.sandbox.support import post

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def test_a_running_application_is_told_who_pays_and_bills_them(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Nobody has to stop it, and the command says what became of every call."""
    applications.start(1, 2)

    result = applications.run("assign", "alice", "--all", "--yes", "--json")

    assert result.returncode == 0, result.stderr
    answer = told(result)
    assert (answer["calls"], answer["done"], answer["not_answered"]) == (2, 2, 0)
    assert answer["cost_nanos"] == 42_000
    events = polar_sandbox.wait_for_events(2)
    assert {event["external_customer_id"] for event in events} == {"alice"}


def test_calls_of_an_application_that_has_ended_are_sent_from_here(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Its file has no owner, so the command is that."""
    applications.leave(1, 2)

    result = applications.run("assign", "alice", "--all", "--member", "m1", "--yes")

    assert result.returncode == 0, result.stderr
    assert "done" in result.stdout
    assert [(event["external_customer_id"], event["external_member_id"]) for event in polar_sandbox.events()] == [
        ("alice", "m1")
    ] * 2
    assert applications.orders() == []


def test_only_what_is_named_is_assigned(applications: Applications, polar_sandbox: SandboxServer) -> None:
    """By external id, and by filters."""
    applications.leave(1, 2, 3)
    ids = [call["external_id"] for call in applications.seen()]

    one = applications.run("assign", "alice", ids[0], "--yes")
    none = applications.run("assign", "bob", "--model", "claude-*", "--yes")
    again = applications.run("assign", "bob", ids[0], "--yes")

    assert (one.returncode, none.returncode, again.returncode) == (0, 0, 1)
    assert "there is nothing to do" in none.stderr
    assert "Left alone, because of their state: 1 sent" in again.stderr
    (event,) = polar_sandbox.events()
    assert (event["external_id"], event["external_customer_id"]) == (ids[0], "alice")


def test_nothing_is_done_without_an_answer_or_in_a_dry_run(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """Whoever bills somebody has seen whom, for how many calls and how much."""
    applications.leave(1, 2)

    dry = applications.run("assign", "alice", "--all", "--dry-run")
    asked = applications.run("assign", "alice", "--all")

    assert dry.returncode == 0
    assert "$0.000042" in dry.stdout
    assert asked.returncode == 2
    assert "Bill alice: 2 calls?" in asked.stderr
    assert "give --yes" in asked.stderr
    assert polar_sandbox.events() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("alice",), "say which calls"),
        (("", "--all"), "an id must not be empty"),
        (("alice", "--customer-id", "--all"), "UUIDs of version 4"),
        (("alice", "--all", "--since", "soon"), "is no time"),
    ],
)
def test_words_that_are_off_are_refused(applications: Applications, arguments: tuple[str, ...], why: str) -> None:
    """Before anything is looked at: an oversight must not bill somebody for everything."""
    result = applications.run("assign", *arguments, "--yes")

    assert result.returncode == 2
    assert why in " ".join(result.stderr.replace("│", " ").split())


def test_events_are_not_made_by_other_options_than_the_applications(
    applications: Applications, polar_sandbox: SandboxServer
) -> None:
    """They would be frozen without its markup. A running application does it by its own."""
    applications.leave(1, markup="1.25")

    refused = applications.run("assign", "alice", "--all", "--yes")
    assert refused.returncode == 3
    assert "markup is 1.25, here none" in refused.stderr
    applications.start(markup="1.25")
    done = applications.run("assign", "alice", "--all", "--yes")

    assert done.returncode == 0, done.stderr
    (event,) = polar_sandbox.wait_for_events(1)
    assert event["metadata"]["charge_nanos"] == 26_250


@pytest.mark.parametrize("arguments", [("--dry-run",), ("--yes",)])
def test_a_customer_that_polar_does_not_know_is_told(
    applications: Applications, polar_sandbox: SandboxServer, arguments: tuple[str, ...]
) -> None:
    """It takes the usage of any id, and never bills it: a slip of the pen costs the money."""
    post(polar_sandbox, "/v1/customers/", email="alice@example.com", external_id="alice")
    applications.leave(1, 2)
    first, second = sorted(call["external_id"] for call in applications.seen())

    known = applications.run("assign", "alice", first, *arguments)
    unknown = applications.run("assign", "alcie", second, *arguments)

    assert "no customer" not in known.stderr
    assert "Polar has no customer with the id alcie" in unknown.stderr
    assert "otel-polar customers ensure alcie" in unknown.stderr


def test_events_are_not_made_by_another_rate_card_than_the_applications(
    applications: Applications, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """One with other prices is a bill of another amount; what somebody wants is a price for what has none."""
    theirs, ours = tmp_path / "theirs.toml", tmp_path / "ours.toml"
    for card, usd in ((theirs, "1"), (ours, "1000")):
        card.write_text(f'version = "1"\n[[prices]]\nprovider = "*"\nmodel = "*"\nusd_per_request = "{usd}"\n')
    applications.leave(1, rate_card=theirs)

    refused = applications.run("assign", "alice", "--all", "--yes", OTEL_POLAR_RATE_CARD=str(ours))
    assert (refused.returncode, polar_sandbox.events()) == (3, [])
    assert re.search(r"rate_card is a file \([0-9a-f]{8}\), here a file \([0-9a-f]{8}\)", refused.stderr)
    reprice = applications.run("reprice", OTEL_POLAR_RATE_CARD=str(ours))
    assert reprice.returncode == 0
    done = applications.run("assign", "alice", "--all", "--yes", OTEL_POLAR_RATE_CARD=str(theirs))

    assert done.returncode == 0, done.stderr
    (event,) = polar_sandbox.wait_for_events(1)
    assert event["metadata"]["cost_nanos"] == 10**9


def test_a_rate_card_that_the_application_has_read_again_is_its_rate_card(
    applications: Applications, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """It does so while it runs, and need not be started again for that."""
    card = tmp_path / "card.toml"
    text = 'version = "1"\n[[prices]]\nprovider = "*"\nmodel = "*"\nusd_per_request = "{}"\n'
    card.write_text(text.format(1))
    pipeline = applications.start(1, rate_card=card)
    card.write_text(text.format(2))
    os.utime(card, (1_700_000_000, 1_700_000_000))
    pipeline._refresh_prices()
    applications.end(pipeline)

    done = applications.run("assign", "alice", "--all", "--yes", OTEL_POLAR_RATE_CARD=str(card))

    assert done.returncode == 0, done.stderr
    (event,) = polar_sandbox.wait_for_events(1)
    assert event["metadata"]["cost_nanos"] == 2 * 10**9


def test_an_owner_that_does_not_answer_is_named_and_the_order_withdrawn(applications: Applications) -> None:
    """A process that hangs must not do later what nobody expects any more."""
    pipeline = applications.start(1)
    pipeline._worker._is_stopping = True
    pipeline._worker._wake.put(None)

    result = applications.run("assign", "alice", "--all", "--yes", "--timeout", "0.2")

    assert result.returncode == 1
    assert "the owner of outbox-" in result.stderr
    assert "withdrawn" in result.stderr
    (outbox,) = pipeline.outboxes
    assert outbox.counts() == {State.UNATTRIBUTED: 1}
    assert applications.orders() == []


def test_a_polar_that_is_down_leaves_them_assigned_on_disk(tmp_path: Path) -> None:
    """The next process sends them."""
    applications = Applications(NOWHERE, tmp_path)
    applications.leave(1)

    result = applications.run("assign", "alice", "--all", "--yes", "--timeout", "0.3", "--json")

    assert result.returncode == 1
    assert (told(result)["done"], told(result)["is_sent"]) == (1, False)
    assert [call["state"] for call in applications.seen()] == ["ready"]


@pytest.mark.slow
def test_ctrl_c_withdraws_the_order(applications: Applications) -> None:
    """Whoever thinks better of it must not be obeyed by a process that comes to it later."""
    pipeline = applications.start(1)
    pipeline._worker._is_stopping = True
    pipeline._worker._wake.put(None)
    command = [sys.executable, "-m", "otel_polar", "outbox", "assign", "alice", "--all", "--yes"]
    process = subprocess.Popen(
        command, env={**os.environ, **applications.variables()}, stderr=subprocess.PIPE, cwd=ROOT
    )
    deadline = time.monotonic() + 20.0
    while not applications.orders() and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)

    assert process.returncode == 130, said
    assert applications.orders() == []
    assert pipeline.outboxes[0].counts() == {State.UNATTRIBUTED: 1}
