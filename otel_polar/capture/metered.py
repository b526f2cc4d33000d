"""``metered``: usage that is no call to a model, as a span that is billed. Time, counts, bytes, items.

Each use is one span and one event: with its duration, and with what the code says of it.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from numbers import Integral, Real
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, TypeVar

from opentelemetry.trace import Status, StatusCode, get_tracer, use_span

from otel_polar._version import __version__
from otel_polar.billing import semconv
from otel_polar.billing.metadata import MAX_INTEGER_BITS
from otel_polar.capture.decorating import decorate
from otel_polar.capture.providers import tracer_provider
from otel_polar.capture.streams import count_stream
from otel_polar.delivery.notices import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import FrameType, TracebackType

    from opentelemetry.trace import Span

SCOPE: Final = "otel_polar.metered"

P = ParamSpec("P")
R = TypeVar("R")


class Usage:
    """What a metered block has used so far. Several threads may use it at once if they set other keys.

    Numbers of any kind are taken; what is neither a number nor text holds the event, as a negative number does. Nothing
    is raised into the code that counts.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._counts: dict[str, int | float] = {}

    def set(self, **values: object) -> None:
        """Say numbers, or texts, of the event's metadata. The last word on a key counts."""
        for key, value in values.items():
            number = _number(value)
            if number is not None:
                self._counts[key] = number
                self._span.set_attribute(semconv.EVENT_METADATA_PREFIX + key, number)
            elif isinstance(value, str):
                self._span.set_attribute(semconv.EVENT_METADATA_PREFIX + key, value)
            else:
                self._span.set_attribute(semconv.EVENT_WHY_HELD, f"{key} is no number that can be sent")

    def add(self, **amounts: object) -> None:
        """Add to numbers, which begin at 0."""
        numbers = {key: _number(amount) for key, amount in amounts.items()}
        self.set(
            **{key: None if number is None else self._counts.get(key, 0) + number for key, number in numbers.items()}
        )


def _number(value: object) -> int | float | None:
    """A number as an attribute can hold it: also of the libraries that have their own, and of :mod:`decimal`."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, Integral):
            whole = int(value)
            return whole if whole.bit_length() <= MAX_INTEGER_BITS else None
        is_number = isinstance(value, Real) or (hasattr(value, "as_tuple") and hasattr(value, "__float__"))
        if not is_number:
            return None
        real = float(value)  # type: ignore[arg-type] # it has __float__
        return int(real) if real.is_integer() and not isinstance(value, float) and abs(real) < _EXACT else real
    except (TypeError, ValueError, OverflowError):
        return None


_EXACT: Final = 2.0**53


_entered: Final[ContextVar[tuple[_Use, ...]]] = ContextVar("otel_polar_metered", default=())


class metered:  # noqa: N801 - it is used like a function, as contextlib's own context managers are
    """Bill what happens inside by its duration, and by what the code says of it: a context manager and a decorator.

    ::

        with metered("pdf_export", format="a4") as usage:
            usage.add(pages=12)

        @metered("transcoding")
        def transcode(video): ...

        download = metered("download").stream(file, count="bytes")

    Each use is a span, and an event of that name whose metadata has ``duration_ms``, ``duration_us`` and what was said.
    Who pays is as for any call to a model. A block that raises is held as unmetered, for a person to look at.

    Args:
        event_name: the name of the events, of 1 to 128 characters.
        values: numbers and texts of the metadata that are known from the start.

    Functions, coroutine functions, generators and asynchronous generators can be decorated. A generator is one use from
    its first step to its end, in a context of its own (see :class:`~otel_polar.bill_to`).
    """

    def __init__(self, event_name: str, /, **values: object) -> None:
        self._event_name = event_name
        self._values = values
        # By the frame of the `with` statement, which enters and leaves it whatever context or thread that is in. It is
        # kept, so that no other can be taken for it.
        self._open: list[tuple[FrameType, _Use]] = []

    def __enter__(self) -> Usage:
        """Begin; what it answers takes the numbers."""
        use = self._use()
        self._open.append((sys._getframe(1), use))  # noqa: SLF001 - there is no other way to tell who enters
        _entered.set((*_entered.get(), use))
        return use.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and bill."""
        use = self._mine(sys._getframe(1))  # noqa: SLF001 - as above
        if use is None:
            logger.error("a use of metered(%r) could not be told from others, and is not billed", self._event_name)
            return
        self._open = [each for each in self._open if each[1] is not use]
        _entered.set(tuple(each for each in _entered.get() if each is not use))
        use.__exit__(kind, error, traceback)

    def _mine(self, frame: FrameType) -> _Use | None:
        """The use that a frame has entered, or else this context, or the only one there is."""
        of_frame = [use for entered, use in self._open if entered is frame]
        if of_frame:
            return of_frame[-1]
        # An ExitStack enters and leaves by frames of its own.
        uses = [use for _, use in self._open]
        here = [use for use in _entered.get() if use in uses]
        if here:
            return here[-1]
        return uses[0] if len(uses) == 1 else None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator or asynchronous generator."""
        return decorate(function, self._use, follows=False)

    def stream(self, source: R, *, count: Literal["bytes", "items"] = "bytes") -> R:
        """The same file, iterable or asynchronous iterable, whose bytes or items are counted as they go by.

        It is one use from now to its end, or to its ``close()``; what has gone by until then is billed. Of a file what
        is read and written counts, of an iterable what it yields.
        """
        use = self._use()
        usage = use.begin()
        usage.set(**{count: 0})
        counted: R = count_stream(source, by=count, usage=usage, end=use.end)
        return counted

    def _use(self) -> _Use:
        return _Use(self._event_name, self._values)


class _Use:
    """One use: a context manager that is entered once."""

    def __init__(self, event_name: str, values: dict[str, object]) -> None:
        self._event_name = event_name
        self._values = values
        self._current: AbstractContextManager[Span] | None = None
        self._process_id = os.getpid()

    def begin(self) -> Usage:
        """Make the span."""
        tracer = get_tracer(SCOPE, __version__, tracer_provider())
        self._span = tracer.start_span(self._event_name, attributes={semconv.EVENT_NAME: self._event_name})
        if not self._span.is_recording():
            logger.warning(
                "metered(%r) is not billed: there is no tracer provider of opentelemetry-sdk, or its sampler drops it"
                " (BillingSampler)",
                self._event_name,
            )
        usage = Usage(self._span)
        usage.set(**self._values)
        return usage

    def end(self, error: BaseException | None = None) -> None:
        """End the span. That a generator was closed early is no error."""
        if os.getpid() != self._process_id:
            # A forked child has a copy, whose counts would be the parent's.
            return
        if error is not None and not isinstance(error, GeneratorExit):
            # Without its words: they may hold anything.
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
        self._span.end()

    def __enter__(self) -> Usage:
        usage = self.begin()
        self._current = use_span(self._span, end_on_exit=False, record_exception=False)
        self._current.__enter__()
        return usage

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._current is not None:
            self._current.__exit__(None, None, None)
        self.end(error)
