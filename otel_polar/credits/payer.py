"""Who pays for an event, as one word: your id of a customer, or Polar's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def payer_of(*, external_id: str | None = None, polar_id: str | None = None) -> str:
    """Who pays, by your id or by Polar's."""
    return f"external:{external_id}" if external_id is not None else f"polar:{polar_id}"


def payer_in(event: Mapping[str, Any]) -> str | None:
    """Who is named in the body of an event; ``None`` if nobody is."""
    external, polar_id = event.get("external_customer_id"), event.get("customer_id")
    if isinstance(external, str):
        return payer_of(external_id=external)
    return payer_of(polar_id=polar_id) if isinstance(polar_id, str) else None
