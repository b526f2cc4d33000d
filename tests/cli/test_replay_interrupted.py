"""``otel-polar replay`` interrupted, refused, or only asked what it would do: nothing is billed twice or lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import ROOT, run_command
from tests.cli.test_replay_command import IMPOSSIBLE, LEFT, MISUSED, NOWHERE, billed, environment, ids, report
from tests.service.stored.recordings import NANOS_PER_CALL, a_request, lines

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

CALLS = 2_000
_DEADLINE_S = 20.0


@pytest.fixture
def env(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, str]:
    return environment(polar_sandbox.url, tmp_path / "outbox")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 128 + signal.SIGINT)], ids=["kill", "ctrl-c"]
)
def test_what_was_interrupted_goes_on_and_bills_each_call_once(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path, how: signal.Signals, code: int
) -> None:
    """Whatever was on disk is sent, and reading goes on a little before where it had come to."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(*range(begin, begin + 20)) for begin in range(0, CALLS, 20)]))
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_polar", "replay", "--yes", str(file)],
        env={**os.environ, **env, "PYTHONPATH": str(ROOT), "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + _DEADLINE_S
        while not list((tmp_path / "outbox").rglob("*.journal")) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(how)
        _, said = process.communicate(timeout=_DEADLINE_S)
    finally:
        process.kill()
        process.wait()

    again = {**env, "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000"}
    report(file, env=again)

    assert process.returncode == code
    assert how is signal.SIGKILL or "goes on where it stopped" in said
    assert billed(polar_sandbox) == ids(*range(CALLS))


def test_a_dry_run_says_who_would_pay_what_and_touches_nothing(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """It is how anybody finds out what a file is about to cost whom."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0, 1), a_request(1), a_request(2, customer="bob"), a_request(3, customer=None)]))

    result = run_command("replay", "--dry-run", "--json", str(file), env=env)
    told = run_command("replay", "--dry-run", str(file), env=env)

    found = json.loads(result.stdout)
    assert result.returncode == told.returncode == LEFT
    assert [(line["customer"], line["calls"], line["cost_nanos"]) for line in found["billable"]] == [
        ("alice", 2, 2 * NANOS_PER_CALL),
        ("bob", 1, NANOS_PER_CALL),
    ]
    assert found["other_spans_of_a_call"] + found["known_here"] == 1
    assert found["held"][0]["state"] == "held: unattributed"
    assert "3 calls to be billed, cost $0.000621" in told.stdout
    assert "in which it receives them" in told.stderr
    assert polar_sandbox.events() == []
    assert not (tmp_path / "outbox").exists()


def test_a_dry_run_needs_no_token(tmp_path: Path) -> None:
    """Whoever looks need not be able to bill."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))

    result = run_command("replay", "--dry-run", str(file), env={"HOME": str(tmp_path)})

    assert (result.returncode, "1 call to be billed" in result.stdout) == (0, True), result.stderr


def test_nobody_is_billed_who_was_not_asked_for(env: dict[str, str], tmp_path: Path) -> None:
    """Where nobody can be asked, ``--yes`` has to be on the command line."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))

    result = run_command("replay", str(file), env=env)

    assert (result.returncode, "--yes" in result.stderr) == (MISUSED, True)
    assert not (tmp_path / "outbox").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"PK\x03\x04....", "no spans in a known form"), (None, "no file")],
)
def test_what_cannot_be_read_is_refused_before_anything_is_billed(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path, content: bytes | None, told: str
) -> None:
    """A good file beside it would be billed, and the next run would have to be another one."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(lines([a_request(0)]))
    if content is not None:
        bad.write_bytes(content)

    result = run_command("replay", "--yes", str(good), str(bad), env=env)

    assert (result.returncode, told in result.stderr) == (IMPOSSIBLE, True), result.stderr
    assert polar_sandbox.events() == []


def test_options_that_differ_from_the_applications_are_refused(tmp_path: Path) -> None:
    """What is frozen by them could not be made otherwise any more."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))
    report("--timeout", "0.1", file, env=environment(NOWHERE, tmp_path / "outbox"), code=LEFT)
    (directory,) = (tmp_path / "outbox").iterdir()
    (directory / "options.json").write_text('{"markup": "a function, which is only in code"}')

    result = run_command("replay", "--yes", str(file), env=environment(NOWHERE, tmp_path / "outbox"))

    assert (result.returncode, "markup" in result.stderr) == (IMPOSSIBLE, True)
