"""How who pays gets from one service to the next, and who else may say it or learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagate import get_global_textmap

from otel_polar.capture.propagator import PolarBaggagePropagator
from otel_polar.checkup.finding import Finding, note, warning, well

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.settings import Settings

_GUARD = ("export OTEL_PROPAGATORS=tracecontext,polar_baggage",)


def propagation_findings(settings: Settings | None, propagator: Any = None) -> Iterator[Finding]:
    """The propagator in use; the global one if left out. Without *settings* nothing is known of signatures."""
    parts = _parts(get_global_textmap() if propagator is None else propagator)
    is_guarded = any(isinstance(part, PolarBaggagePropagator) for part in parts)
    is_open = any(isinstance(part, W3CBaggagePropagator) for part in parts)
    if is_guarded and is_open:
        yield warning(
            "propagation.baggage",
            "the propagator baggage stands beside polar_baggage, which is to be used in its place",
            why="It lets in and out what the other one keeps back.",
            do=_GUARD,
        )
    elif is_guarded:
        yield well("propagation.baggage", "baggage is guarded: polar_baggage")
    elif not is_open:
        yield note(
            "propagation.baggage",
            "no baggage is sent or received",
            why="Who pays, as bill_to says it, does not reach the next service. In one service that does not matter.",
            do=_GUARD,
        )
    elif settings is not None and settings.baggage_secret is not None:
        yield note(
            "propagation.baggage",
            "identities in baggage are signed, and are sent to whatever host is called",
            why="The provider of a model may learn the ids of your users; polar_baggage sends them to your hosts only.",
            do=_GUARD,
        )
    else:
        yield warning(
            "propagation.baggage",
            "baggage is taken from whoever calls, and sent to whoever is called",
            why="A client may name another customer in a baggage header, where no bill_to says who pays; and the"
            " provider of a model may learn the ids of your users.",
            do=_GUARD,
        )


def _parts(propagator: Any) -> list[Any]:
    inner = getattr(propagator, "_propagators", None)
    if not isinstance(inner, list | tuple):
        return [propagator]
    return [part for each in inner for part in _parts(each)]
