"""``metered``: usage that is no call to a model, as a span that is billed. Time, counts, bytes, items.

Each use is one span and one event: with its duration, and with what the code says of it.
"""

from __future__ import annotations

import inspect
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from opentelemetry.trace import Status, StatusCode, get_tracer, use_span

from otel_polar._version import __version__
from otel_polar.billing import semconv
from otel_polar.capture.generators import run_async_generator, run_generator
from otel_polar.capture.providers import tracer_provider
from otel_polar.capture.streams import count_stream
from otel_polar.delivery.notices import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from opentelemetry.trace import Span

SCOPE: Final = "otel_polar.metered"

P = ParamSpec("P")
R = TypeVar("R")

_open: Final[ContextVar[tuple[_Open, ...]]] = ContextVar("otel_polar_metered", default=())


class Usage:
    """What a metered block has used so far. Safe to use from several threads at once only if they set other keys."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._counts: dict[str, int | float] = {}

    def set(self, **values: float | str) -> None:
        """Say numbers, or texts, of the event's metadata. The last word on a key counts."""
        for key, value in values.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._counts[key] = value
            self._span.set_attribute(semconv.EVENT_METADATA_PREFIX + key, value)

    def add(self, **amounts: float) -> None:
        """Add to numbers, which begin at 0."""
        self.set(**{key: self._counts.get(key, 0) + amount for key, amount in amounts.items()})


class metered:  # noqa: N801 - it is used like a function, as contextlib's own context managers are
    """Bill what happens inside by its duration, and by what the code says of it: a context manager and a decorator.

    ::

        with metered("pdf_export", format="a4") as usage:
            usage.add(pages=12)

        @metered("transcoding")
        def transcode(video): ...

        download = metered("download").stream(file, count="bytes")

    Each use is a span, and an event of that name whose metadata has ``duration_ms`` and what was said. Who pays is as
    for any call to a model. A block that raises is held as unmetered, for a person to look at.

    Args:
        event_name: the name of the events, of 1 to 128 characters.
        values: numbers and texts of the metadata that are known from the start.

    Functions, coroutine functions, generators and asynchronous generators can be decorated. A generator is one use from
    its first step to its end, in a context of its own (see :class:`~otel_polar.bill_to`).
    """

    def __init__(self, event_name: str, /, **values: float | str) -> None:
        self._event_name = event_name
        self._values = values

    def __enter__(self) -> Usage:
        """Begin; what it answers takes the numbers."""
        opened = _Open(self, self._start())
        _open.set((*_open.get(), opened))
        return opened.usage

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and bill."""
        opened = next((each for each in reversed(_open.get()) if each.owner is self), None)
        if opened is None:
            return
        _open.set(tuple(each for each in _open.get() if each is not opened))
        opened.end(None if isinstance(error, GeneratorExit) else error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator or asynchronous generator."""
        import wrapt  # noqa: PLC0415 - only where something is decorated

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            is_async = inspect.isasyncgenfunction(function)

            def around_generator(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
                context = copy_context()
                inner = context.run(wrapped, *args, **kwargs)
                if is_async:
                    return run_async_generator(_inside_async(self, inner), context)
                return run_generator(_inside(self, inner), context)

            decorator = wrapt.decorator(around_generator)
        elif inspect.iscoroutinefunction(function):

            async def around_coroutine(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
                with self:
                    return await wrapped(*args, **kwargs)

            decorator = wrapt.decorator(around_coroutine)
        else:

            def around(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
                with self:
                    return wrapped(*args, **kwargs)

            decorator = wrapt.decorator(around)
        decorated: Callable[P, R] = decorator(function)
        return decorated

    def stream(self, source: R, *, count: Literal["bytes", "items"] = "bytes") -> R:
        """The same file, iterable or asynchronous iterable, whose bytes or items are counted as they go by.

        It is one use from now to its end, or to its ``close()``; what has gone by until then is billed. Of a file what
        is read and written counts, of an iterable what it yields.
        """
        span = self._start()
        usage = Usage(span)
        usage.set(**{count: 0})
        counted: R = count_stream(source, by=count, usage=usage, end=_ending(span))
        return counted

    def _start(self) -> Span:
        tracer = get_tracer(SCOPE, __version__, tracer_provider())
        attributes = {semconv.EVENT_METADATA_PREFIX + key: value for key, value in self._values.items()}
        span = tracer.start_span(self._event_name, attributes={semconv.EVENT_NAME: self._event_name, **attributes})
        if not span.is_recording():
            logger.warning(
                "metered(%r) is not billed: there is no tracer provider of opentelemetry-sdk, or its sampler drops it"
                " (BillingSampler)",
                self._event_name,
            )
        return span


class _Open:
    """One use of a ``metered`` in a ``with`` statement."""

    __slots__ = ("_current", "_span", "owner", "usage")

    def __init__(self, owner: metered, span: Span) -> None:
        self.owner = owner
        self.usage = Usage(span)
        self._span = span
        self._current: AbstractContextManager[Span] = use_span(span, end_on_exit=False, record_exception=False)
        self._current.__enter__()

    def end(self, error: BaseException | None) -> None:
        self._current.__exit__(None, None, None)
        _ending(self._span)(error)


def _ending(span: Span) -> Callable[[BaseException | None], None]:
    def end(error: BaseException | None) -> None:
        if error is not None:
            # Without its words: they may hold anything.
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
        span.end()

    return end


def _inside(owner: metered, inner: Any) -> Any:
    with owner:
        return (yield from inner)


async def _inside_async(owner: metered, inner: Any) -> Any:
    with owner:
        try:
            async for item in inner:
                yield item
        finally:
            await inner.aclose()
