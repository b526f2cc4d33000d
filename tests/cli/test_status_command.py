"""``otel-polar status`` as a process: everything in one screen, and an exit code for a monitor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.command import run_command
from tests.cli.outboxes import NOWHERE, application, environment, make_calls
from tests.delivery.support import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

COST_NANOS = 21_000
"""Of a call of tests.delivery.test_pipeline: 100 tokens in, 10 out, of gpt-4o-mini."""


def test_a_running_application_is_shown_with_everything_that_waits(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """What it means, and what to type, stands beside each number; 1, because a person is needed."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=3, nobodys=1)

        result = run_command("status", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 1, result.stderr
    assert result.stderr == ""
    assert "1 file of " in result.stdout
    assert "1 application is running" in result.stdout
    table, _, _ = result.stdout.partition("Why calls are held")
    lines = {line.split("│")[1].strip(): line for line in table.splitlines() if line.startswith("│")}
    assert "Polar has it" in lines["sent"]
    assert "otel-polar outbox reprice" in lines["held: unpriced"]
    assert "otel-polar outbox assign" in lines["held: unattributed"]
    assert "genai-prices" in result.stdout, "the reason"
    assert "gpt-9000" in result.stdout
    assert "alice" in result.stdout


def test_programs_get_all_of_it_as_one_object(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Money as whole billionths and as a decimal, times as ISO 8601."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=3, nobodys=1)

        result = run_command("status", "--json", env=environment(polar_sandbox.url, tmp_path))

    told = json.loads(result.stdout)
    assert {state: found["calls"] for state, found in told["states"].items()} == {
        "sent": 2,
        "held: unpriced": 3,
        "held: unattributed": 1,
    }
    assert told["states"]["sent"]["cost_nanos"] == 2 * COST_NANOS
    assert told["states"]["sent"]["cost_usd"] == "0.000042"
    assert told["states"]["held: unpriced"]["calls_without_cost"] == 3
    assert [(each["customer"], each["calls"]) for each in told["customers"]] == [("alice", 3), (None, 1)]
    assert (told["models"][0]["model"], told["models"][0]["calls"]) == ("gpt-9000", 3)
    assert told["reasons"][0]["state"] == "held: unpriced"
    assert told["reasons"][0]["what_to_do"].startswith("Give it a price")
    assert [file["is_owned"] for file in told["files"]] == [True]
    assert (told["needs_person"], told["elsewhere"], told["server"]) == (True, [], polar_sandbox.url)
    assert result.returncode == 1


def test_all_is_well_when_nothing_waits_for_a_person(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A check that cries wolf is switched off."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=0, nobodys=0)
    result = run_command("status", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 0, result.stdout
    assert "0 applications are running" in result.stdout


def test_what_waits_for_polar_alone_is_well_too(tmp_path: Path) -> None:
    """It is told, and goes on by itself when Polar is back."""
    with application(NOWHERE, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=0, nobodys=0, timeout_s=1.0)

        result = run_command("status", env=environment(NOWHERE, tmp_path))

    assert result.returncode == 0, result.stdout
    assert "ready" in result.stdout
    assert "otel-polar outbox send" in result.stdout


def test_a_damaged_file_is_said_and_the_others_are_shown(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """1: somebody has to look at it."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=0, nobodys=0)
        (directory,) = tmp_path.iterdir()
        (directory / "outbox-0.db").write_bytes(b"no database at all" * 1_000)
        (directory / "damaged-1234-outbox-1.db").touch()

        result = run_command("status", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 1
    assert "sent" in result.stdout
    assert "outbox-0.db cannot be read: file is not a database" in result.stderr
    assert "damaged-1234-outbox-1.db was damaged and put aside" in result.stderr


def test_calls_for_another_token_are_said(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """They are sent by nobody as long as nobody has that token."""
    with application(NOWHERE, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=1, nobodys=0, timeout_s=1.0)
    with application(polar_sandbox.url, tmp_path, access_token="polar_oat_other") as pipeline:
        make_calls(pipeline, sent=1, unpriced=0, nobodys=0)
    result = run_command("status", env=environment(polar_sandbox.url, tmp_path, "polar_oat_other"))
    without = run_command("status", env=environment("http://127.0.0.1:7", tmp_path))

    assert result.returncode == 0, result.stderr
    assert "3 calls wait in " in result.stderr
    assert "for another server or access token" in result.stderr
    assert without.returncode == 3
    assert "3 calls wait in " in without.stderr
    assert "there is no " in without.stderr


def test_without_a_token_it_says_what_is_missing(tmp_path: Path) -> None:
    """The directory has its name from it."""
    result = run_command("status", env={"OTEL_POLAR_OUTBOX_DIR": str(tmp_path)})

    assert (result.returncode, result.stdout) == (3, "")
    assert "access_token (POLAR_ACCESS_TOKEN) is not set" in result.stderr


def test_nothing_of_the_token_is_shown(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """What is printed ends up in tickets."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline)
        results = [
            run_command("status", *more, env=environment(polar_sandbox.url, tmp_path)) for more in ([], ["--json"])
        ]

    assert all(TOKEN not in result.stdout + result.stderr for result in results)
