"""The environment for child processes in which the measurement of coverage must not run along.

It imports what a test may be looking for, and its own lock does not survive a signal handler that raises.
"""

from __future__ import annotations

import os


def unmeasured_environment() -> dict[str, str]:
    """Ours, without what coverage tells its children."""
    return {key: value for key, value in os.environ.items() if not key.startswith("COV")}
