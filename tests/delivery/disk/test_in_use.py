"""Specifies that nobody forks while SQLite is at work in the process: its own locks would stay taken in the child."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from pathlib import Path

END_S: Final = 30.0

# A thread is in the middle of something when the process begins to fork, and is told of that. It goes on until the
# process has forked, or for a moment if it has not: then it was waited for.
PROGRAM: Final = """
import logging, os, pathlib, signal, sys, threading
from contextlib import suppress
from otel_polar.billing.catalog import catalog
from otel_polar.credits import CreditGuard, lookups
from otel_polar.credits.estimate import Prices
from otel_polar.delivery.disk import in_use
from otel_polar.delivery.disk.glance import glance
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.looking.spool import Spool
from otel_polar.settings import Settings

logging.disable()
outbox = Outbox(pathlib.Path(sys.argv[1]))
begun, forking, forked = threading.Event(), threading.Event(), threading.Event()
at_work = False

def wait():
    global at_work
    at_work = True
    begun.set()
    assert forking.wait(10)
    forked.wait(0.5)
    at_work = False

def taking_over():
    with outbox.database.transaction():
        wait()

def opening():
    with in_use.opening():
        wait()

def interrupted():
    taking_over()

def looking():
    with glance(outbox.path):
        wait()

def keeping():
    def rows():
        wait()
        return
        yield
    Spool().put(rows())

def told():
    return Settings.load({}, access_token="t", base_url="http://127.0.0.1:9", outbox_dir=outbox.path.parent)

def connecting():
    lookups.PolarApi = lambda *_, **__: wait()
    CreditGuard("tokens", settings=told()).balance("user_42")

def estimating():
    catalog.Catalog = lambda **_: wait()
    with suppress(Exception):
        Prices(told()).nanos("gpt-4o", 1, 1)

# Hooks are run in the reverse order of their registration: this one before ours.
os.register_at_fork(before=forking.set, after_in_parent=forked.set)
thread = threading.Thread(target=globals()[sys.argv[2]], daemon=True)
thread.start()
assert begun.wait(10)
if sys.argv[2] == "interrupted":
    def raise_it(*_):
        raise InterruptedError("in the middle of the wait")
    signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
pid = os.fork()
if pid == 0:
    if at_work:
        os._exit(1)
    # It has locks of its own, and may fork, too.
    Outbox(pathlib.Path(f"{sys.argv[1]}.child")).close()
    grandchild = os.fork()
    os._exit(0 if grandchild == 0 else os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
thread.join()
# What was held over the fork has been given back.
Outbox(pathlib.Path(f"{sys.argv[1]}.parent")).close()
outbox.close()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("work", ["taking_over", "opening", "looking", "keeping", "connecting", "estimating"])
def test_a_fork_waits_for_what_a_child_must_not_inherit_half_done(tmp_path: Path, work: str) -> None:
    """All connections share locks in SQLite, as imports do: without the thread that has one a child waits for ever."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "outbox-1.db"), work],
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_signal_handler_that_raises_meanwhile_does_not_have_it_fork_at_once(tmp_path: Path) -> None:
    """Python tells of it, and forks all the same: what was waited for would be half done in the child."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "outbox-1.db"), "interrupted"],
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "InterruptedError: in the middle of the wait" in ended.stderr
