"""Sending from the command itself: what lies in files that nobody has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.pipeline import Pipeline

if TYPE_CHECKING:
    from otel_polar.settings import Settings


def send_here(settings: Settings, timeout_s: float) -> bool:
    """Take over the files without an owner and send what is in them; whether nothing is left of that."""
    pipeline = Pipeline(settings)
    try:
        return pipeline.force_flush(timeout_s)
    finally:
        pipeline.shutdown()
