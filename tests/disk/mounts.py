"""Small file systems of our own, mounted for a test."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOUNT = shutil.which("mount") or "mount"
UMOUNT = shutil.which("umount") or "umount"


@contextmanager
def mounted(place: Path, size: str = "1m") -> Iterator[Path]:
    """A tmpfs of *size* at *place*; where that is not permitted the test is skipped."""
    place.mkdir(exist_ok=True)
    arguments = [MOUNT, "-t", "tmpfs", "-o", f"size={size},mode=700", "otel-polar-test", str(place)]
    try:
        done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here, as a full disk needs one: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here, as a full disk needs one: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # Lazily: a file of a pipeline that was given up may still be open.
        subprocess.run([UMOUNT, "--lazy", str(place)], check=True)


def remount(place: Path, option: str) -> None:
    """Give a mounted file system another option, such as ``ro`` or ``size=2m``."""
    subprocess.run([MOUNT, "-o", f"remount,{option}", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all the room there is; deleting the file gives it back."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(b"\1" * size) == size:
                    pass
            except OSError:
                continue
    return filler
