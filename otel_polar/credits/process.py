"""Which process made a reservation, and whether it still lives: a pid alone may be another one's by now."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

_START: Final = 19
"""The 22nd field of ``/proc/<pid>/stat``, counted behind the name: when it started (man 5 proc_pid_stat)."""


def own_process() -> str:
    """This process, such as ``4026531836:4711:123456``: its namespace, its pid and its start."""
    return _named(os.getpid())


def is_gone(process: str) -> bool:
    """Whether that process has ended, as far as can be told: not of one in another container."""
    namespace, _, rest = process.partition(":")
    pid, _, start = rest.partition(":")
    if namespace != _namespace() or not pid.isdigit():
        return False
    if start:
        return _start(int(pid)) != start
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@lru_cache(maxsize=1)
def _named(pid: int) -> str:
    return f"{_namespace()}:{pid}:{_start(pid)}"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _start(pid: int) -> str:
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name, in parentheses, may hold anything. A zombie has ended, too.
        fields = told.rpartition(")")[2].split()
        return "" if fields[0] in {"Z", "X"} else fields[_START]
    except (OSError, IndexError):
        return ""
