"""How far a catalogue goes, as settings say; apart from the catalogue because importing that is slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

OnApproximate: TypeAlias = Literal["hold", "price"]


@dataclass(frozen=True, slots=True)
class CatalogOptions:
    """How far a catalogue goes.

    ``gateways`` are hosts that only pass calls on, and ``self_hosted`` those at which no list price holds; in both
    ``*`` stands for any text. ``approximate_models`` is what to do with names that are nearly, but not certainly in the
    list.
    """

    gateways: tuple[str, ...] = ()
    self_hosted: tuple[str, ...] = ()
    approximate_models: OnApproximate = "hold"


DEFAULT_OPTIONS: Final = CatalogOptions()
