"""Specifies what happens where nothing can be written: billing goes on from memory, and says so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.delivery.children import make_calls
from tests.disk.mounts import remount
from tests.disk.support import flush, sent_once, storage_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer
    from tests.disk.conftest import Start


def errors(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


def test_a_read_only_disk_is_said_and_taken_when_it_can_be_written(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A container with a read-only root, or a disk that the kernel has given up; root is refused as well."""
    remount(small_disk, "ro")
    provider, processor = start(polar_sandbox.url, small_disk)
    make_calls(provider, 3)
    flush(processor)

    assert sent_once(polar_sandbox) == 3
    assert "Read-only file system" in errors(caplog)
    assert "OTEL_POLAR_OUTBOX_DIR" in errors(caplog)

    remount(small_disk, "rw")
    storage_of(processor).tend()
    make_calls(provider, 1)
    assert "can be written again" in caplog.text
    assert len(list(small_disk.glob("*/outbox-*.journal"))) == 1


def test_the_files_of_an_earlier_process_on_a_read_only_disk_are_sent_when_it_can_be_written(
    small_disk: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """They cannot even be locked: whether their owner lives nobody knows."""
    earlier, processor = start("http://127.0.0.1:9", small_disk, settle_s=3_600)
    make_calls(earlier, 3)
    (own,) = [storage_of(processor)._own]
    assert own is not None
    own.release()
    storage_of(processor)._own = None
    (directory,) = small_disk.iterdir()
    for file in directory.iterdir():
        assert file.exists()
    remount(small_disk, "ro")

    provider, later = start(polar_sandbox.url, small_disk)
    make_calls(provider, 1)
    flush(later)
    assert sent_once(polar_sandbox) == 1
    assert len(list(directory.glob("outbox-*.db"))) == 1
    assert "Read-only file system" in errors(caplog)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_where_the_directory_should_be_is_said(
    name: str, tmp_path: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in a setting must not cost a call."""
    (tmp_path / "file").write_text("not a directory")

    provider, processor = start(polar_sandbox.url, tmp_path / name)
    make_calls(provider, 3)
    flush(processor)

    assert sent_once(polar_sandbox) == 3
    assert "cannot be used" in errors(caplog)
    assert str(tmp_path / name) in errors(caplog)
