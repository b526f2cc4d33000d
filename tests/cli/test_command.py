"""Specifies what belongs to every command, by the runner that the other tests use."""

from __future__ import annotations

import os
import subprocess
import sys

from otel_polar import __version__
from tests.cli.command import ROOT, run_command


def test_the_command_runs_with_its_own_streams_and_exit_code() -> None:
    """What the tests see is what a user sees."""
    well, misused = run_command("--version"), run_command("--vershun")

    assert (well.returncode, well.stdout, well.stderr) == (0, f"otel-polar {__version__}\n", "")
    assert (misused.returncode, misused.stdout) == (2, "")
    assert "No such option: --vershun" in misused.stderr


def test_a_pipe_that_nobody_reads_ends_the_command_without_words() -> None:
    """``otel-polar … | head`` is no failure of the command."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "otel_polar", "price", "--input", "1", "openai", "gpt-4o-mini"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, "")


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
