"""A process of its own with a guard: ``python -m tests.credits.children <url> <directory> <user> <estimate> <calls>``.

Asks for credit when its standard input says so, a line each; says on its standard output how often it got any, keeps
that, and ends when its input does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from otel_polar import InsufficientCredits
from tests.credits.support import guarding


def main(url: str, directory: str, user: str, estimate: str, calls: str) -> None:
    """Ask *calls* times whenever it is told to."""
    with guarding(url, Path(directory), when_unreachable="refuse") as guard:
        held = []
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            reasons = []
            for _ in range(int(calls)):
                try:
                    held.append(guard.require(user, estimate))
                except InsufficientCredits as error:
                    reasons.append(error.reason)
            sys.stdout.write(f"{len(held)} {' '.join(sorted(set(reasons)))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
