"""``BillingSampler``: what is not sampled is billed all the same, and still not exported.

A span that a sampler drops does not exist: no processor hears of it (opentelemetry-sdk, ``Tracer.start_span``), and the
default sampler drops whatever a caller's ``traceparent`` says is not sampled, so any HTTP client could switch billing
off. This sampler asks the one that was there, and turns its DROP into RECORD_ONLY: processors see the span, exporters
behind the SDK's ``BatchSpanProcessor`` and ``SimpleSpanProcessor`` do not, and no trace flag changes.

``AlwaysRecordSampler`` of opentelemetry-sdk 1.45 does nearly that, but loses the attributes a span starts with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from opentelemetry import baggage
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanKind

from otel_polar.billing import semconv
from otel_polar.delivery.notices import logger
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link
    from opentelemetry.trace.span import TraceState
    from opentelemetry.util.types import Attributes

Record: TypeAlias = Literal["all", "genai"]

START_MARKERS: Final = frozenset(
    {
        *semconv.MODEL_CALL_MARKERS,
        *semconv.PROVIDER_NAME,
        *semconv.REQUEST_MODEL,
        semconv.EVENT_NAME,
        *(semconv.REQUEST_TYPE, semconv.TRACELOOP_KIND, semconv.LOGFIRE_KIND, semconv.LANGSMITH_KIND),
    },
)
"""What a model call has from its start on, if its emitter sets anything then."""


class BillingSampler(Sampler):
    """Records what *root* drops.

    Args:
        root: the sampler that decides what is exported, as before.
        record: ``"all"`` spans, or only those that have an attribute of a model call when they start (``"genai"``).
            That is cheaper where most spans are dropped, but misses model calls of emitters that set their attributes
            later (OpenLLMetry's and OpenInference's LangChain), and users named by a request span around the call.
    """

    def __init__(self, root: Sampler = DEFAULT_ON, *, record: Record = "all") -> None:
        self.root = root
        self._records_all = record == "all"

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """What the root says, but RECORD_ONLY instead of DROP where the span may be billed."""
        result = self.root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP or not self._is_wanted(kind, attributes, parent_context):
            return result
        # The root has thrown the attributes away.
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """What it is, and what the root is."""
        return f"BillingSampler{{{self.root.get_description()}}}"

    def _is_wanted(self, kind: SpanKind | None, attributes: Attributes, parent_context: Context | None) -> bool:
        if self._records_all:
            return True
        if attributes and not START_MARKERS.isdisjoint(attributes):
            return True
        # The guarded propagator learns from the span of a request which host it goes to.
        return kind is SpanKind.CLIENT and bool(baggage.get_all(parent_context))


def billing_sampler(argument: float | str | None = None) -> BillingSampler:
    """The sampler named ``polar`` of ``OTEL_TRACES_SAMPLER`` and of declarative configuration.

    ``OTEL_TRACES_SAMPLER_ARG`` is the one that decides what is exported, as ``OTEL_TRACES_SAMPLER`` would name it, with
    its own argument behind a colon: ``parentbased_traceidratio:0.1``. Without it that is the default of OpenTelemetry.

    Raises:
        ConfigError: if there is no such sampler.
    """
    if argument is None or not str(argument).strip():
        return BillingSampler()
    name, _, ratio = str(argument).strip().lower().partition(":")
    if name in _FIXED and not ratio:
        return BillingSampler(_FIXED[name])
    try:
        return BillingSampler(_BY_RATIO[name](float(ratio or 1.0)))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"OTEL_TRACES_SAMPLER_ARG is {argument!r}: it must be {', '.join(_FIXED)}, or {' or '.join(_BY_RATIO)} with"
            " a ratio from 0 to 1 behind a colon",
        ) from error


_FIXED: Final[dict[str, Sampler]] = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
_BY_RATIO: Final[dict[str, Any]] = {
    "traceidratio": TraceIdRatioBased,
    "parentbased_traceidratio": ParentBasedTraceIdRatio,
}


def install_sampler(provider: TracerProvider, record: Record) -> None:
    """Put a :class:`BillingSampler` around the provider's sampler, also for tracers that exist already.

    Tracers take a copy when they are made, and the provider keeps them (opentelemetry-sdk 1.45, ``TracerProvider``).
    """
    _replace(provider, lambda sampler: sampler if _is_ours(sampler) else BillingSampler(sampler, record=record))


def remove_sampler(provider: TracerProvider) -> None:
    """Give the provider and its tracers back the sampler they had."""
    _replace(provider, lambda sampler: sampler.root if isinstance(sampler, BillingSampler) else sampler)


def _is_ours(sampler: Sampler) -> bool:
    return isinstance(sampler, BillingSampler)


def _replace(provider: TracerProvider, change: Any) -> None:
    provider.sampler = change(provider.sampler)
    tracers = getattr(provider, "_tracers", None)
    if tracers is None:
        logger.warning(
            "this version of opentelemetry-sdk does not tell which tracers there are: spans of those made before now"
            " are billed only if they are sampled. Instrument earlier, or upgrade it",
        )
        return
    with provider._tracers_lock:  # noqa: SLF001 - there is no public way to the tracers
        for tracer in tracers.values():
            tracer.sampler = change(tracer.sampler)


def warn_of_invisible_spans(provider: TracerProvider) -> None:
    """Say what no processor will ever see: a disabled SDK, and disabled scopes."""
    if getattr(provider, "_disabled", False):
        logger.error("OTEL_SDK_DISABLED is set: there are no spans, so no model call is billed")
    scopes = [scope for scope, tracer in list(getattr(provider, "_tracers", {}).items()) if not _is_enabled(tracer)]
    for scope in scopes:
        logger.warning("spans of the scope %s are disabled by a tracer configurator: they are not billed", scope.name)


def _is_enabled(tracer: Any) -> bool:
    enabled = getattr(tracer, "_is_enabled", None)
    return bool(enabled()) if callable(enabled) else True
