"""``otel-polar outbox export`` as a process."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import run_command
from tests.cli.outboxes import application, environment, make_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def env(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of an application that is running, with two events sent and one call that has no price."""
    with application(polar_sandbox.url, tmp_path / "outbox") as pipeline:
        make_calls(pipeline, sent=2, unpriced=1, nobodys=0)
        yield environment(polar_sandbox.url, tmp_path / "outbox")


def test_every_call_is_a_line_with_its_event(env: dict[str, str]) -> None:
    """What a program may want is the event as Polar has it."""
    result = run_command("outbox", "export", env=env)

    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["state"] for line in lines] == ["sent", "sent", "held: unpriced"]
    assert [line["event"] and line["event"]["external_customer_id"] for line in lines] == ["alice", "alice", None]


def test_a_table_goes_to_a_file_that_only_its_owner_reads(env: dict[str, str], tmp_path: Path) -> None:
    """It names customers. Money is whole billionths, and a decimal."""
    output = tmp_path / "sent.csv"

    arguments = ("--state", "sent", "--format", "csv", "--output", str(output))
    result = run_command("outbox", "export", *arguments, env=env)

    assert (result.returncode, result.stdout) == (0, "")
    assert f"2 calls written to {output}" in result.stderr
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["external_customer_id"], row["cost_nanos"], row["cost_usd"]) for row in rows] == [
        ("alice", "21000", "0.000021")
    ] * 2
    assert output.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sent.csv"]


def test_a_file_that_cannot_be_written_is_said(env: dict[str, str], tmp_path: Path) -> None:
    """And nothing is left of it."""
    file = tmp_path / "none" / "x.csv"
    result = run_command("outbox", "export", "--output", str(file), env=env)

    assert (result.returncode, result.stdout) == (3, "")
    assert f"No such file or directory: '{file}'" in result.stderr


def test_json_lines_can_be_asked_for_by_the_words_of_all_commands(env: dict[str, str]) -> None:
    """A script need not know which of them writes JSON anyway."""
    assert run_command("outbox", "export", "--json", env=env).stdout == run_command("outbox", "export", env=env).stdout
    assert run_command("outbox", "export", "--json", "--format", "csv", env=env).returncode == 2
