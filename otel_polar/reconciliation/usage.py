"""Calls, tokens and money by day (UTC) and model, as a provider's export or the ledger tells them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

Key: TypeAlias = "tuple[date, str]"
"""A day, and a model as it is written."""

CALLS: Final = "calls"
INPUT: Final = "input_tokens"
CACHE_READ: Final = "cache_read_tokens"
CACHE_WRITE: Final = "cache_write_tokens"
OUTPUT: Final = "output_tokens"
COST: Final = "cost_nanos"
COUNTS: Final = (CALLS, INPUT, CACHE_READ, CACHE_WRITE, OUTPUT, COST)
"""``input_tokens`` includes what was read from and written to a cache; ``cost_nanos`` is in billionths of a dollar."""

# gpt-4o-mini-2024-07-18, claude-sonnet-4-5-20250929, claude-3-5-haiku-latest
_VERSION: Final = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|latest)$")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class Usage:
    """What one side tells.

    ``told`` are the counts it tells at all, and ``told_on`` those of a day, if not all of them: one file may be of
    tokens and another one, of fewer days, of costs. What it does not tell is not 0. ``days`` are those it is about,
    also without any usage. ``notes`` are what a person should know.
    """

    sums: dict[Key, Counter[str]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    told_on: dict[date, set[str]] = field(default_factory=dict)

    def add(self, key: Key, counts: Mapping[str, int]) -> None:
        """Some more usage of a day and a model."""
        self.sums.setdefault(key, Counter()).update(counts)

    def merge(self, other: Usage) -> None:
        """What another file of the same side tells."""
        for key, counts in other.sums.items():
            self.add(key, counts)
        self.told |= other.told
        for day, told in other.told_on.items():
            self.told_on.setdefault(day, set()).update(told)
        self.days |= other.days
        self.notes += [note for note in other.notes if note not in self.notes]


def model_family(name: str) -> str:
    """A model without vendor, version and way of writing: ``Claude Haiku 4.5`` is ``claude-haiku-4-5-20251001``."""
    written = _SEPARATORS.sub("-", name.strip().lower().rpartition("/")[2]).strip("-")
    return _VERSION.sub("", written) or written
