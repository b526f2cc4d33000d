"""Every way a request with events to Polar can end, sorted into a few kinds.

======================================  =================  ==========================================
Polar says                              outcome            the events
======================================  =================  ==========================================
200, and the counts add up              ``Accepted``       are there, now or since an earlier attempt
422 naming events                       ``Invalid``        those never; the rest again at once
413, 411                                ``TooLarge``       again in smaller batches
429                                     ``RateLimited``    again after ``Retry-After``
401, 403, 404, 422 about the token      ``Denied``         wait until a person has mended it
a 403 or 404 that is not Polar's own    ``Failed``         again later: a firewall may dislike one of them
5xx, network, anything else             ``Failed``         again later
======================================  =================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Accepted:
    """Polar has every event; ``duplicates`` of them since before."""

    inserted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Invalid:
    """Polar stored nothing, because of the events in ``reasons`` (by index in the batch).

    ``early`` are events Polar's clock says are from the future: they can be sent later as they are.
    """

    reasons: Mapping[int, str]
    early: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The request has more bytes than Polar takes."""


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The whole organization has to wait."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Denied:
    """The token, its scope or the address is wrong."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, or none that makes sense. ``answered`` tells a server's failure from a network's."""

    reason: str
    answered: bool


Outcome: TypeAlias = Accepted | Invalid | TooLarge | RateLimited | Denied | Failed
