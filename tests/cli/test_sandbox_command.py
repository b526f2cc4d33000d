"""``otel-polar sandbox`` and what belongs to every command, as real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from polar.v2026_10 import Polar

from otel_polar import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path.cwd()), "COLUMNS": "120", "NO_COLOR": "1"}


NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


def run(*arguments: str, env: Mapping[str, str] = NO_VARIABLES) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with *env* on top of the environment."""
    command = [sys.executable, "-m", "otel_polar", *arguments]
    return subprocess.run(command, env={**ENVIRONMENT, **env}, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is told to end, and ends with the block whatever happens in it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_polar", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def read_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert found is not None
    return found[0]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_sandbox_prints_its_address_answers_there_and_ends_well(ending: signal.Signals) -> None:
    """A script can start it on any free port, read one line, and stop it like any other service."""
    with running("sandbox", "--port", "0") as process:
        url = read_address(process)
        with urlopen(url, timeout=10) as page:  # noqa: S310 - the address our own child has printed
            assert page.status == 200
        assert process.stdout is not None
        assert process.stdout.readline().strip() == (f"export POLAR_BASE_URL={url} POLAR_ACCESS_TOKEN=polar_oat_local")

        process.send_signal(ending)
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")


def test_the_printed_settings_are_those_an_application_needs(tmp_path: Path) -> None:
    """They are there to be copied; and the file remembers what came in after the sandbox has ended."""
    db = str(tmp_path / "polar.db")
    for duplicates in (0, 1):
        with running("sandbox", "--port", "0", "--db", db) as process:
            read_address(process)
            assert process.stdout is not None
            settings = dict(pair.split("=", 1) for pair in process.stdout.readline().split()[1:])
            event = {"name": "n", "external_customer_id": "user_42", "external_id": "once"}
            with Polar(settings["POLAR_ACCESS_TOKEN"], base_url=settings["POLAR_BASE_URL"]) as polar:
                answer = polar.events.ingest(events=[event])  # type: ignore[list-item]  # a plain dict
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)

        assert (process.returncode, answer.duplicates) == (0, duplicates)


def test_with_a_local_openai_the_first_program_of_the_readme_needs_no_account(tmp_path: Path) -> None:
    """What it prints is all there is to export."""
    with running("sandbox", "--port", "0", "--openai") as process:
        url = read_address(process)
        assert process.stdout is not None
        exports = [process.stdout.readline().split()[1:] for _ in range(2)]
        settings = dict(pair.split("=", 1) for pairs in exports for pair in pairs)
        environment = {**ENVIRONMENT, **settings, "OTEL_POLAR_OUTBOX_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "examples/quickstart.py"], env=environment, capture_output=True, text=True, check=True
        )
        with Polar(settings["POLAR_ACCESS_TOKEN"], base_url=url) as polar:
            (event,) = polar.events.list().items

    assert done.stderr == ""
    assert event.name == "llm_usage"


def test_a_taken_port_is_said_with_the_way_out() -> None:
    """Two sandboxes at once are common: the second says what to type."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("sandbox", "--port", str(port))

    assert result.returncode == 3
    assert result.stdout == ""
    assert f"port {port}" in result.stderr
    assert "--port" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_opened_is_said_with_its_name(tmp_path: Path) -> None:
    """A folder that does not exist is a slip of the keyboard, not a bug to report."""
    db = str(tmp_path / "no folder" / "polar.db")
    result = run("sandbox", "--port", "0", "--db", db)

    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert db in result.stderr


@pytest.mark.parametrize("arguments", [("sandbox", "--port", "many"), ("sandbox", "--port", "65536"), ("sing",)])
def test_a_wrong_word_ends_with_2(arguments: tuple[str, ...]) -> None:
    """Scripts tell a mistake in the command line from a failure of the command."""
    result = run(*arguments)

    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_the_version_is_the_packages() -> None:
    """The first line of every bug report."""
    result = run("--version")

    assert (result.returncode, result.stdout) == (0, f"otel-polar {__version__}\n")
