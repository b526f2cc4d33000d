"""What the processes of a pool import: the application, and its one task."""

from __future__ import annotations

from tests.workers.application import call, start

processor = start()


def answer(user: str) -> str:
    """One call to a model."""
    call(user)
    return user
