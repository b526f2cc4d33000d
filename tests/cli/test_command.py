"""Specifies what belongs to every command, by the runner that the other tests use."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_polar import __version__
from tests.cli.command import ROOT, run_command
from tests.cli.outboxes import NOWHERE, application, environment
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def test_the_command_runs_with_its_own_streams_and_exit_code() -> None:
    """What the tests see is what a user sees."""
    well, misused = run_command("--version"), run_command("--vershun")

    assert (well.returncode, well.stdout, well.stderr) == (0, f"otel-polar {__version__}\n", "")
    assert (misused.returncode, misused.stdout) == (2, "")
    assert "No such option: --vershun" in misused.stderr


PRICE = ("price", "--input", "1", "openai", "gpt-4o-mini")


@pytest.fixture
def waiting(tmp_path: Path) -> dict[str, str]:
    """The environment of a command that finds calls that wait."""
    with application(NOWHERE, tmp_path) as pipeline:
        for number in range(3):
            pipeline.take(a_span(number), ALICE, {})
    return {**os.environ, **environment(NOWHERE, tmp_path)}


def with_output_to(output: int, arguments: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """How a command ends whose standard output is that file, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "otel_polar", *arguments],
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [PRICE, ("outbox", "list"), ("status",)], ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_the_command_without_words(
    arguments: Sequence[str], waiting: dict[str, str]
) -> None:
    """``otel-polar … | head`` is no failure of the command."""
    reader, writer = os.pipe()
    os.close(reader)
    done = with_output_to(writer, arguments, waiting)
    os.close(writer)

    assert done == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("arguments", [PRICE, ("outbox", "list"), ("outbox", "export"), ("--help",)], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line_of_words(arguments: Sequence[str], waiting: dict[str, str]) -> None:
    """A report that cron writes to a full disk is none, and ends like one that could not be made."""
    with Path("/dev/full").open("w") as full:
        code, said = with_output_to(full.fileno(), arguments, waiting)

    assert (code, said.count("\n")) == (3, 1), said
    assert said.endswith("No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("errors", ["2>&1", "2>&-"])
@pytest.mark.parametrize("arguments", [PRICE, ("outbox", "list"), ("--help",)], ids=" ".join)
def test_it_ends_so_although_its_words_cannot_be_written_either(
    arguments: Sequence[str], errors: str, waiting: dict[str, str]
) -> None:
    """``otel-polar … >> log 2>&1`` on a full disk: 1 would say that something is wrong with the calls."""
    command = shlex.join([sys.executable, "-m", "otel_polar", *arguments])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} > /dev/full {errors}"], cwd=ROOT, env=waiting, check=False, timeout=60
    )

    assert done.returncode == 3


def test_ctrl_c_while_it_is_still_starting_needs_no_words() -> None:
    """Half of what a quick command takes is its imports."""
    program = """
import sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
from otel_polar.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (130, "")
