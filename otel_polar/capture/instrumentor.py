"""``PolarInstrumentor``: the processor, the sampler and the OpenAI hooks, by one line or none.

It is OpenTelemetry's own idiom: ``opentelemetry-instrument`` and declarative configuration find it by its entry point
and call :meth:`PolarInstrumentor.instrument`. Without an access token it stays inert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # untyped
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanProcessor, TracerProvider
from opentelemetry.trace import get_tracer_provider

from otel_polar.capture.openai import OpenAIHooks
from otel_polar.capture.processor import PolarSpanProcessor
from otel_polar.capture.providers import use_tracer_provider
from otel_polar.capture.sampling import install_sampler, remove_sampler, warn_of_invisible_spans
from otel_polar.delivery.notices import describe, logger
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

_OTHERS: tuple[str, ...] = ("meter_provider", "logger_provider")
"""What OpenTelemetry hands to every instrumentor, and this one has no use for."""


class PolarInstrumentor(BaseInstrumentor):  # type: ignore[misc] # its module tells no types
    """Bills every model call of this process.

    ::

        PolarInstrumentor().instrument(tracer_provider=provider)

    There is one for the process, however often it is made. ``instrument`` takes ``tracer_provider`` (by default the
    global one) and the options of :class:`~otel_polar.settings.Settings`; those left out come from the environment. On
    that provider it puts

    - a :class:`~otel_polar.PolarSpanProcessor`, which bills the model calls among the spans,
    - a :class:`~otel_polar.BillingSampler` around the provider's sampler, so that what is not sampled is billed, too,
    - the hooks of the ``openai`` client (:class:`otel_polar.capture.openai.OpenAIHooks`), if it is installed.

    ``uninstrument()`` takes all of that away again; what has been recorded is sent.

    Raises:
        ConfigError: if an option or variable has a value that cannot be used, or there is no provider of the SDK. If
            ``opentelemetry-instrument`` calls, it is logged: raising would keep all others from being instrumented.
    """

    # BaseInstrumentor is a singleton whose __init__ runs again and again: state stands on the class.
    _processor: PolarSpanProcessor | None = None
    _provider: TracerProvider | None = None
    _hooks: OpenAIHooks | None = None
    _is_automatic: bool = False
    _has_said_no_token: bool = False

    @property
    def is_active(self) -> bool:
        """Whether model calls are billed by it now."""
        return self._provider is not None

    @property
    def processor(self) -> PolarSpanProcessor | None:
        """The processor that it has put in place; ``None`` if it has not."""
        return self._processor

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: the OpenAI hooks wait until ``openai`` is imported, if it ever is."""
        return ()

    def instrument(self, **kwargs: Any) -> None:
        """Put everything in place; see the class."""
        is_automatic = self._is_automatic = bool(kwargs.get("skip_dep_check"))
        if self.is_active and is_automatic:
            # By the exporter, or by declarative configuration.
            return
        try:
            super().instrument(**kwargs)
        except Exception as error:
            if not is_automatic:
                raise
            what = str(error) if isinstance(error, ConfigError) else describe(error)
            logger.error("NOBODY IS BILLED: %s", what)
        if not self.is_active:
            # It may be tried again, with a token or a provider.
            self._is_instrumented_by_opentelemetry = False

    def _instrument(self, **kwargs: Any) -> None:
        told = kwargs.pop("tracer_provider", None)
        provider = get_tracer_provider() if told is None else told
        options = {name: value for name, value in kwargs.items() if name not in _OTHERS}
        settings = Settings.load(**options)
        if settings.access_token is None:
            if self._is_automatic and PolarInstrumentor._has_said_no_token:
                return
            PolarInstrumentor._has_said_no_token = True
            logger.warning("no access token (POLAR_ACCESS_TOKEN): model calls are not recorded and nobody is billed")
            return
        if not isinstance(provider, TracerProvider):
            raise ConfigError(
                f"tracer_provider is {type(provider).__name__}, not a TracerProvider of opentelemetry-sdk: set the"
                " global one first (opentelemetry.trace.set_tracer_provider), or pass tracer_provider=",
            )
        processor = None
        if any(isinstance(each, PolarSpanProcessor) for each in _processors(provider)):
            logger.warning("the tracer provider has a PolarSpanProcessor already: that one bills, with its own options")
        else:
            processor = PolarSpanProcessor(**options)
            provider.add_span_processor(processor)
        if isinstance(provider._active_span_processor, ConcurrentMultiSpanProcessor):  # noqa: SLF001 - no public way
            logger.error(
                "the tracer provider has a ConcurrentMultiSpanProcessor, which starts spans in threads of its own: who"
                " pays is seen only where it stands on the span, so use a SynchronousMultiSpanProcessor",
            )
        if settings.record_unsampled != "none":
            install_sampler(provider, settings.record_unsampled)
        warn_of_invisible_spans(provider)
        if settings.openai_hooks:
            self._hooks = OpenAIHooks(provider, estimate_tokens=settings.estimate_tokens)
            self._hooks.install()
        use_tracer_provider(provider)
        self._processor, self._provider = processor, provider

    def _uninstrument(self, **_kwargs: Any) -> None:
        hooks, self._hooks = self._hooks, None
        processor, self._processor = self._processor, None
        provider, self._provider = self._provider, None
        if hooks is not None:
            hooks.remove()
        if provider is not None:
            use_tracer_provider(None)
            remove_sampler(provider)
            _remove_processor(provider, processor)
        if processor is not None:
            processor.shutdown()


def _processors(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    return provider._active_span_processor._span_processors  # noqa: SLF001 - there is no public way


def _remove_processor(provider: TracerProvider, processor: PolarSpanProcessor | None) -> None:
    active = provider._active_span_processor  # noqa: SLF001 - there is no public way
    with active._lock:  # noqa: SLF001 - as above
        left = tuple(each for each in _processors(provider) if each is not processor)
        active._span_processors = left  # noqa: SLF001 - as above
