"""Sending from the command itself: what lies in files that nobody has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.delivery.pipeline import Pipeline

if TYPE_CHECKING:
    from otel_polar.settings import Settings

_NO_TROUBLE_KNOWN: Final = "not all of it could be sent"


def send_here(settings: Settings, timeout_s: float) -> str | None:
    """Take over the files without an owner and send what is in them; why something is left of that, in words.

    It gives up as soon as Polar refuses the token or address, or cannot be reached: a person looks on.
    """
    pipeline = Pipeline(settings, is_guest=True)
    try:
        if pipeline.force_flush(timeout_s, at_lasting_trouble=True):
            return None
        trouble = pipeline.telemetry.polar.trouble
        return _NO_TROUBLE_KNOWN if trouble is None else trouble.text
    finally:
        pipeline.shutdown()
