"""A file with a row for each difference; it is there as a whole or not at all, and readable for you only."""

from __future__ import annotations

import csv
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


@contextmanager
def table_file(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Mapping[str, object]], object]]:
    """What writes a row; the file takes its name when the block has ended well.

    Raises:
        OSError: if it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            yield lambda row: writer.writerow("" if row[key] is None else row[key] for key in columns)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
