"""Specifies looking whether somebody has a lock: nobody has it because of that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from otel_polar.delivery.disk.locks import is_locked, lock_path, try_lock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_child_that_is_forked_in_a_look_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock's file open, too, and may live for days: nobody else could take the outbox over."""
    path = tmp_path / "outbox-00000000.db"
    lock_path(path).touch()
    open_file, of_child = os.open, []

    def opened(*arguments: Any) -> int:
        descriptor = open_file(*arguments)
        of_child.append(os.dup(descriptor))
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    assert not is_locked(path)
    monkeypatch.undo()
    lock = try_lock(path)
    for descriptor in of_child:
        os.close(descriptor)

    assert len(of_child) == 1
    assert lock is not None
    lock.release()
