"""Which files are meant by what stands on the command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_polar.service.stored.plain import Plain, StoredFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file; ``path`` is ``None`` for standard input. ``is_named``: somebody wrote its own name."""

    path: Path | None
    is_named: bool = True

    @property
    def name(self) -> str:
        """What messages call it."""
        return STANDARD_INPUT if self.path is None else str(self.path)

    @property
    def size_bytes(self) -> int:
        """Its size on disk; 0 where nobody knows."""
        return 0 if self.path is None else self.path.stat().st_size

    def open(self) -> Plain:
        """Its bytes.

        Raises:
            StoredFileError: if it is compressed in a way that is not read here.
            OSError: if it cannot be read.
        """
        return Plain(sys.stdin.buffer if self.path is None else self.path.open("rb"), self.name)


def files_in(names: Iterable[str]) -> list[StoredFile]:
    """The files that are named, and those in folders that are, however deep, by their names; each once.

    The names of rotated files sort by their times, and the one that is being written comes after them
    (``spans-2026-11-20T05-02-14.173.json``, ``spans.json``).

    Raises:
        StoredFileError: if there is no such file.
    """
    files: dict[Path | None, StoredFile] = {}
    for name in names:
        if name == STANDARD_INPUT:
            files.setdefault(None, StoredFile(None))
            continue
        path = Path(name)
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.is_file() and not any(part.startswith(".") for part in found.relative_to(path).parts):
                    files.setdefault(found.resolve(), StoredFile(found, is_named=False))
        elif path.exists():
            files.setdefault(path.resolve(), StoredFile(path))
        else:
            raise StoredFileError(f"there is no file {name}")
    if not files:
        raise StoredFileError("there is no file in it")
    return list(files.values())
