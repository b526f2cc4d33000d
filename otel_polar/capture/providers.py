"""The tracer provider by which our own spans are made: the instrumentor's, or else the global one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class _Told:
    provider: TracerProvider | None = None


def tracer_provider() -> TracerProvider | None:
    """What the instrumentor was given; ``None`` means the global one."""
    return _Told.provider


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Make spans of our own by this one."""
    _Told.provider = provider
