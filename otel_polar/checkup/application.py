"""The tracer provider of an application: is it there, is it billed, and once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import get_tracer_provider

from otel_polar.capture.exporter import PolarSpanExporter
from otel_polar.capture.instrumentor import PolarInstrumentor
from otel_polar.capture.processor import PolarSpanProcessor
from otel_polar.capture.providers import tracer_provider as told_provider
from otel_polar.checkup.finding import Finding, counted, note, problem, warning, well

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_polar.delivery.pipeline import Pipeline

_INSTRUMENT: Final = "PolarInstrumentor().instrument(tracer_provider=provider)"
MIN_ATTRIBUTES: Final = 64
MIN_ATTRIBUTE_CHARACTERS: Final = 256
"""An id of a customer has up to 200."""


def provider_in_use() -> Any:
    """The provider the instrumentor was given, or else the global one."""
    return told_provider() or get_tracer_provider()


def processors_of(provider: Any) -> tuple[Any, ...]:
    """Its processors, in their order."""
    try:
        return tuple(provider._active_span_processor._span_processors)  # noqa: SLF001 - there is no public way
    except Exception:  # noqa: BLE001 - a provider of another vendor may have anything there, and raise anything
        return ()


def pipelines_of(provider: Any) -> list[Pipeline]:
    """Every engine that bills spans of this provider."""
    billing = [_billing(each) for each in processors_of(provider)]
    return [each.pipeline for each in billing if each is not None and each.pipeline is not None]


def provider_findings(provider: Any) -> Iterator[Finding]:
    """The provider, and what is on it."""
    if not isinstance(provider, TracerProvider):
        yield problem(
            "application.provider",
            f"there is no tracer provider of opentelemetry-sdk, but {type(provider).__name__}",
            why="Without one no span is made, so nothing is billed.",
            do=(
                "provider = TracerProvider()    # opentelemetry.sdk.trace",
                _INSTRUMENT,
                "opentelemetry.trace.set_tracer_provider(provider)",
            ),
        )
        return
    if getattr(provider, "_disabled", False):
        yield problem(
            "application.disabled",
            "the tracer provider is disabled (OTEL_SDK_DISABLED)",
            why="No span is made, so nothing is billed.",
            do=("unset OTEL_SDK_DISABLED",),
        )
    yield from _billed(provider)
    yield from _neighbours(provider)
    yield from _limits(provider)
    yield from _threads()


def _billed(provider: TracerProvider) -> Iterator[Finding]:
    processors = processors_of(provider)
    ours = [each for each in processors if isinstance(each, PolarSpanProcessor)]
    exporters = [each for each in map(_exporter, processors) if isinstance(each, PolarSpanExporter)]
    active = [each for each in exporters if each.pipeline is not None and not PolarInstrumentor().is_active]
    if not ours and not active:
        yield problem(
            "application.processor",
            "nothing on the tracer provider bills: no PolarSpanProcessor is among its processors"
            f" ({', '.join(type(each).__name__ for each in processors) or 'there are none'})",
            why="Spans are made, and nobody looks at what they cost.",
            do=(_INSTRUMENT,),
        )
        return
    if len(ours) + len(active) > 1:
        several = f"{counted(len(ours), 'PolarSpanProcessor')} and {counted(len(active), 'PolarSpanExporter')}"
        yield warning(
            "application.processor",
            f"{several} are on one tracer provider",
            why="Each records every call. Polar knows a call again by its id, unless they have different options.",
            do=("# keep one of them; PolarInstrumentor puts one in place by itself",),
        )
    elif active:
        yield warning(
            "application.processor",
            "a PolarSpanExporter bills, behind a processor that keeps spans in memory",
            why="It sees neither bill_to nor what is not sampled, and a crash loses what is in memory.",
            do=(_INSTRUMENT,),
        )
    else:
        yield well(
            "application.processor",
            f"a PolarSpanProcessor is in place, as number {processors.index(ours[0]) + 1} of {len(processors)}",
        )
    for pipeline in (*(each.pipeline for each in ours), *(each.pipeline for each in active)):
        yield from _engine(pipeline)


def _engine(pipeline: Pipeline | None) -> Iterator[Finding]:
    if pipeline is None:
        yield problem(
            "application.token",
            "the PolarSpanProcessor has no access token, so it does nothing",
            why="Nothing is recorded and nobody is billed.",
            do=("export POLAR_ACCESS_TOKEN=polar_oat_...    # before it is made",),
        )
        return
    if pipeline.problem is not None:
        yield problem(
            "application.outbox",
            f"calls cannot be written to disk: {pipeline.problem}",
            why="They are kept in memory, and lost with the process.",
            do=("otel-polar doctor --only outbox",),
        )
    if failed := pipeline.counts["failed"]:
        yield warning(
            "application.failed",
            f"{counted(failed, 'span')} could not be looked at",
            why="Whatever they cost is not billed. The log says why.",
        )
    told = {reason: count for reason, count in pipeline.counts.items() if reason.startswith("not billed: ")}
    for reason, count in sorted(told.items()):
        yield note(
            "application.not_billed", f"{counted(count, 'span')} not billed: {reason.removeprefix('not billed: ')}"
        )


def _neighbours(provider: TracerProvider) -> Iterator[Finding]:
    if isinstance(getattr(provider, "_active_span_processor", None), ConcurrentMultiSpanProcessor):
        yield problem(
            "application.concurrent",
            "the tracer provider has a ConcurrentMultiSpanProcessor, which starts spans in threads of its own",
            why="bill_to and baggage are not seen there, so calls have nobody who pays.",
            do=("TracerProvider(active_span_processor=SynchronousMultiSpanProcessor())",),
        )
    before = _before_ours(processors_of(provider))
    if strangers := [type(each).__name__ for each in before if not isinstance(each, _OF_THE_SDK)]:
        yield note(
            "application.order",
            f"{', '.join(strangers)} comes before the PolarSpanProcessor",
            why="If it raises, those behind it do not hear of the span.",
        )
    for each in processors_of(provider):
        exporter = _exporter(each)
        is_remote = isinstance(each, SimpleSpanProcessor) and "OTLP" in type(exporter).__name__
        if is_remote:
            yield warning(
                "application.simple",
                f"a SimpleSpanProcessor sends each span by {type(exporter).__name__} while the application waits",
                why="It is slow, and has nothing to do with billing: otel-polar sends in a thread of its own.",
                do=("BatchSpanProcessor(exporter)",),
            )


_OF_THE_SDK: Final = (BatchSpanProcessor, SimpleSpanProcessor)


def _before_ours(processors: Sequence[Any]) -> list[Any]:
    places = [place for place, each in enumerate(processors) if isinstance(each, PolarSpanProcessor)]
    return list(processors[: places[0]]) if places else []


def _limits(provider: TracerProvider) -> Iterator[Finding]:
    limits = getattr(provider, "_span_limits", None)
    count = getattr(limits, "max_span_attributes", None)
    length = getattr(limits, "max_span_attribute_length", None)
    if count is not None and count < MIN_ATTRIBUTES:
        yield warning(
            "application.attribute_count",
            f"a span keeps {count} attributes",
            why="The oldest are dropped first: who pays and which model, where messages are attributes, too.",
            do=("export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=128",),
        )
    if length is not None and length < MIN_ATTRIBUTE_CHARACTERS:
        yield warning(
            "application.attribute_length",
            f"attributes are cut off after {length} characters",
            why="The beginning of an id may be the id of another customer. Identities from bill_to are not cut.",
            do=(f"export OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT={MIN_ATTRIBUTE_CHARACTERS}    # or none",),
        )


def _threads() -> Iterator[Finding]:
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if isinstance(options, dict) and not any(options.get(key) for key in _UWSGI_THREADS):
        yield problem(
            "application.threads",
            "this is uWSGI without threads",
            why="The delivery thread does not run, so calls stay on disk.",
            do=("# in the ini file of uWSGI: enable-threads = true",),
        )


_UWSGI_THREADS: Final = ("enable-threads", b"enable-threads", "threads", b"threads")


def _exporter(processor: Any) -> Any:
    told = getattr(processor, "span_exporter", None)
    return getattr(getattr(processor, "_batch_processor", None), "_exporter", None) if told is None else told


def _billing(processor: Any) -> Any:
    if isinstance(processor, PolarSpanProcessor):
        return processor
    exporter = _exporter(processor)
    return exporter if isinstance(exporter, PolarSpanExporter) else None
