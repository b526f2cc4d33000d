"""``CallReader``: from a span to the call that is recorded of it, by the settings, with a count of what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.billing.call import NotBilled
from otel_polar.billing.reading import read_call
from otel_polar.billing.reported_cost import with_reported_cost
from otel_polar.billing.scopes import NOT_AMONG_BILL_SCOPES, bills
from otel_polar.delivery.disk.record import dump_call

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from otel_polar.billing.call import ModelCall, TagValue
    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.span import SpanRecord
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings


class CallReader:
    """Reads spans for one process. ``counts`` is what became of them, by reason."""

    def __init__(self, settings: Settings, notices: Notices, counts: Counter[str]) -> None:
        self.notices = notices
        self.counts = counts
        self._bill_scopes = tuple(settings.bill_scopes)
        self._trusted_costs = settings.trusted_costs

    def read(self, span: SpanRecord, customer: Customer | Unattributed, tags: Mapping[str, TagValue]) -> str | None:
        """The model call a span is, as ``Pipeline.commit`` takes it; ``None``, and counted, if it is none."""
        call = self.read_call(span, customer, tags)
        return None if call is None else dump_call(call)

    def read_call(
        self, span: SpanRecord, customer: Customer | Unattributed, tags: Mapping[str, TagValue]
    ) -> ModelCall | None:
        """The same as it is."""
        call = read_call(span, customer, tags)
        if isinstance(call, NotBilled):
            self._not_billed(call, span)
            return None
        if not bills(call.scope_name, self._bill_scopes):
            self.counts[f"not billed: {NOT_AMONG_BILL_SCOPES}"] += 1
            return None
        if self._trusted_costs:
            return with_reported_cost(call, span.attributes, self._trusted_costs)
        return call

    def _not_billed(self, decision: NotBilled, span: SpanRecord) -> None:
        self.counts[f"not billed: {decision.reason}"] += 1
        if decision.suspicious:
            self.notices.warn(
                f"not billed:{decision.reason}:{span.scope_name}",
                "a span of %s with token counts is not billed, and so will others be: %s",
                span.scope_name or "an unnamed scope",
                decision.reason,
            )
