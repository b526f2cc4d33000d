"""``PatientResolver``: a price function of the user's that is left alone for a while where it keeps failing.

A price service that is down takes its whole timeout to say so, for every call, in the thread that delivers all of them.
What fails at once, such as a function that does not know one model, costs nothing to be asked again about others.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_polar.billing.pricing import Unpriced
from otel_polar.delivery.notices import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver

MAX_FAILURES: Final = 3
"""Failures after which it is not asked any more: about one model, or about any if they were slow and in a row."""

SLOW_S: Final = 0.5
MAX_MODELS: Final = 1_000
"""Models whose failures are counted: their names come from spans."""


class PatientResolver:
    """Asks *resolver* as long as that makes sense, and again after :meth:`resume`."""

    def __init__(self, resolver: PriceResolver, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._monotonic = monotonic
        self._name = getattr(resolver, "__qualname__", type(resolver).__name__)
        self._slow_failures = 0
        self._by_model: Counter[tuple[str | None, str | None]] = Counter()

    def __call__(self, query: PriceQuery) -> Price | Unpriced | None:
        """What the resolver answers, or that it failed or is not asked."""
        model = (query.provider, query.model)
        if max(self._slow_failures, self._by_model.get(model, 0)) >= MAX_FAILURES:
            reason = f"price resolver {self._name} failed {MAX_FAILURES} times in a row and is asked again later"
            return Unpriced(reason, may_recover=True, wants_entry=False)
        begin = self._monotonic()
        try:
            answer = self._resolver(query)
        except BaseException as error:  # noqa: BLE001 - a user's function; SystemExit would end the delivery
            self._count_failure(model, self._monotonic() - begin)
            # Where, but not its words, which may hold anything.
            reason = f"price resolver {self._name} raised {describe(error)}"
            return Unpriced(reason, may_recover=True, wants_entry=False)
        self._slow_failures = 0
        self._by_model.pop(model, None)
        # What a function holds back, an entry on a rate card does not release: that is asked later.
        return replace(answer, wants_entry=False) if isinstance(answer, Unpriced) else answer

    def resume(self) -> bool:
        """Let it be asked again about everything; whether it was not any more about something."""
        gave_up = max((self._slow_failures, *self._by_model.values())) >= MAX_FAILURES
        self._slow_failures = 0
        self._by_model.clear()
        return gave_up

    def _count_failure(self, model: tuple[str | None, str | None], elapsed_s: float) -> None:
        if elapsed_s >= SLOW_S:
            self._slow_failures += 1
        if model in self._by_model or len(self._by_model) < MAX_MODELS:
            self._by_model[model] += 1
