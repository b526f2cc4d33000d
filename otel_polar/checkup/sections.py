"""The parts of the check-up, in their order. The help of the command names them, so nothing slow is imported here."""

from __future__ import annotations

from typing import Final

SECTIONS: Final = (
    *("versions", "settings", "polar", "customers", "trial", "outbox", "prices"),
    *("application", "sampling", "propagation", "instrumentations"),
)
INSIDE: Final = frozenset({"application", "sampling", "propagation"})
"""What can be looked at from inside an application only."""

DEFAULT_WAIT_S: Final = 30.0
"""For Polar to list a test event: it is some seconds behind."""
