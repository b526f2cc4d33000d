"""Specifies what happens on a disk that is really full: nothing raises, nothing is lost, nothing is billed twice."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from otel_polar.sandbox import SandboxServer
from tests.delivery.children import make_calls
from tests.disk.mounts import fill, remount
from tests.disk.support import flush, sent_once, storage_of, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.disk.conftest import Start

pytestmark = pytest.mark.slow


def errors(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


def test_a_disk_that_is_full_at_the_start_is_said_and_memory_takes_over(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """No outbox can be made at all; the application runs, and is billed."""
    fill(small_disk)
    provider, processor = start(polar_sandbox.url, small_disk)

    make_calls(provider, 5)

    flush(processor)
    assert sent_once(polar_sandbox) == 5
    assert "OTEL_POLAR_OUTBOX_DIR" in errors(caplog)
    assert "calls are kept in memory" in errors(caplog)


def test_calls_that_a_full_disk_does_not_take_are_delivered_from_memory(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Those on it wait for room; they are not lost, and not sent twice when there is."""
    provider, processor = start(polar_sandbox.url, small_disk, settle_s=3_600)
    make_calls(provider, 5)
    filler = fill(small_disk)

    make_calls(provider, 50)
    processor.force_flush(2_000)
    assert sent_once(polar_sandbox) >= 40
    assert "No space left on device" in errors(caplog)

    filler.unlink()
    flush(processor)
    assert sent_once(polar_sandbox) == 55


def test_memory_moves_to_the_disk_when_there_is_room_again(
    small_disk: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """From then on the calls survive the process; Polar is down all the while."""
    with SandboxServer() as server:
        url, port = server.url, int(server.url.rsplit(":", 1)[1])
    provider, processor = start(url, small_disk)
    make_calls(provider, 3)
    filler = fill(small_disk)
    make_calls(provider, 30)
    storage = storage_of(processor)
    assert storage.waiting_in_memory() > 20

    filler.unlink()
    wait_until(lambda: (processor.force_flush(100), storage.waiting_in_memory())[1] == 0)

    assert storage.waiting_on_disk() == 33
    assert "calls moved from memory to the outbox" in caplog.text
    with SandboxServer(port=port) as server:
        flush(processor)
        assert sent_once(server) == 33


def test_a_disk_that_fills_and_empties_while_calls_come_in_loses_and_doubles_none(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start
) -> None:
    """A log file beside it is rotated every now and then."""
    remount(small_disk, "size=8m")
    provider, processor = start(polar_sandbox.url, small_disk)
    threads = [threading.Thread(target=make_calls, args=(provider, 300)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        fill(small_disk).unlink()
    for thread in threads:
        thread.join()

    flush(processor)

    assert sent_once(polar_sandbox) == 900


def test_what_was_on_a_disk_that_became_full_survives_a_kill(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start
) -> None:
    """The journal and the database had both come to the end of the disk, in the middle of a line and of a page."""
    arguments = [sys.executable, "-m", "tests.disk.children", polar_sandbox.url, str(small_disk)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        on_disk = int(process.stdout.readline())
        process.kill()
    assert on_disk > 100

    remount(small_disk, "size=16m")
    _, processor = start(polar_sandbox.url, small_disk)
    flush(processor)

    assert sent_once(polar_sandbox) == on_disk
