"""Room on the disk, for a service whose senders keep what it refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from pathlib import Path

KEPT_FREE_BYTES: Final = 16 * 2**20
"""Left free for the database: a journal that takes the last byte can be written, but not be read into it and sent."""


def check_room(path: Path) -> None:
    """See that there is room on the disk of the file at *path*.

    Raises:
        OutboxError: if there is little left, or that cannot be found out.
    """
    try:
        disk = os.statvfs(path.parent)
    except OSError as error:
        raise OutboxError(f"outbox {path}: {error.strerror}") from error
    if disk.f_bavail * disk.f_frsize < KEPT_FREE_BYTES:
        raise OutboxError(f"outbox {path}: less than {KEPT_FREE_BYTES} bytes are free on its disk")
