"""``otel_polar.doctor()``: the check-up, from inside a running application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from otel_polar.checkup.application import pipelines_of, provider_in_use
from otel_polar.checkup.finding import Report
from otel_polar.checkup.left_out import left_out_findings
from otel_polar.checkup.sections import SECTIONS
from otel_polar.checkup.walk import Asked, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import TracerProvider


def doctor(
    tracer_provider: TracerProvider | None = None,
    *,
    customer: str | None = None,
    sections: Iterable[str] = (),
) -> Report:
    """Look for everything that is known to keep people from being billed, in this application as it runs.

    ::

        print(otel_polar.doctor())

    It takes seconds, because it asks Polar: not for the thread of a request. Nothing is changed or sent.

    Args:
        tracer_provider: the provider to look at; by default the one ``PolarInstrumentor`` was given, or the global one.
        customer: your id of a customer to look for on Polar.
        sections: only these: ``versions``, ``settings``, ``polar``, ``customers``, ``outbox``, ``prices``,
            ``application``, ``sampling``, ``propagation``, ``instrumentations``. By default all of them.

    Returns:
        What was found. ``str()`` of it is for people, ``.findings`` for programs; ``.is_well`` says whether no problem
        was found and everything could be looked at.

    Raises:
        ValueError: if there is no such section.
    """
    wanted = frozenset(sections)
    if unknown := wanted - set(SECTIONS):
        raise ValueError(f"there is no section {min(unknown)!r}; the sections are {', '.join(SECTIONS)}")
    asked = asked_of(provider_in_use() if tracer_provider is None else tracer_provider, wanted, customer)
    return Report((*left_out_findings(asked, is_inside=True), *walk(asked)))


def asked_of(provider: Any, sections: frozenset[str] = frozenset(), customer: str | None = None) -> Asked:
    """The question about an application with that provider: by the settings of what bills on it."""
    pipelines = pipelines_of(provider)
    return Asked(
        environ=os.environ,
        settings=pipelines[0].settings if pipelines else None,
        provider=provider,
        own=tuple(outbox for pipeline in pipelines for outbox in pipeline.outboxes),
        sections=sections,
        customer=customer,
    )
