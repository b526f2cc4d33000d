"""``PatientResolver``: a price function of the user's that is left alone for a while when it keeps failing.

A price service that is down takes its whole timeout to say so, for every call, in the thread that delivers all of them.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Final

from otel_polar.billing.pricing import Unpriced

if TYPE_CHECKING:
    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver

MAX_FAILURES: Final = 3
"""Failures in a row after which it is not asked any more; one call alone may be at fault."""


class PatientResolver:
    """Asks *resolver* until it has failed three times in a row, and then not before :meth:`resume`."""

    def __init__(self, resolver: PriceResolver) -> None:
        self._resolver = resolver
        self._failures = 0
        update_wrapper(self, resolver)
        # Of an object its class: what has failed is named in the log.
        self.__qualname__ = getattr(resolver, "__qualname__", type(resolver).__name__)

    def __call__(self, query: PriceQuery) -> Price | Unpriced | None:
        """What the resolver answers, or that it is not asked."""
        if self._failures >= MAX_FAILURES:
            reason = f"price resolver {self.__qualname__} failed {MAX_FAILURES} times in a row and is asked again later"
            return Unpriced(reason, may_recover=True, wants_entry=False)
        self._failures += 1
        answer = self._resolver(query)
        self._failures = 0
        return answer

    def resume(self) -> bool:
        """Let it be asked again; whether it was not any more."""
        gave_up = self._failures >= MAX_FAILURES
        self._failures = 0
        return gave_up
