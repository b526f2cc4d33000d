"""Generators that run in a context of their own, so that nothing they set leaks into whoever consumes them.

A generator runs in the context of its consumer, step by step, and what it leaves set at a ``yield`` stays set there. If
another task or thread takes the next step, or closes it, OpenTelemetry cannot even put back what was. So every step is
run in one :class:`contextvars.Context`, copied when the generator was made, as a task would run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextvars import Context


def run_generator(inner: Generator[Any, Any, Any], context: Context) -> Generator[Any, Any, Any]:
    """The same generator, each step of it in *context*."""
    step: Callable[[], Any] = _sending(inner, None)
    while True:
        try:
            item = context.run(step)
        except StopIteration as stop:
            return stop.value
        try:
            step = _sending(inner, (yield item))
        except GeneratorExit:
            context.run(inner.close)
            raise
        except BaseException as error:  # noqa: BLE001 - handed on
            step = _throwing(inner, error)


async def run_async_generator(inner: AsyncGenerator[Any, Any], context: Context) -> AsyncGenerator[Any, Any]:
    """The same asynchronous generator, each step of it in *context*."""
    step: Awaitable[Any] = inner.asend(None)
    while True:
        try:
            item = await _InContext(step, context)
        except StopAsyncIteration:
            return
        try:
            step = inner.asend((yield item))
        except GeneratorExit:
            await _InContext(inner.aclose(), context)
            raise
        except BaseException as error:  # noqa: BLE001 - handed on
            step = inner.athrow(error)


def _sending(inner: Generator[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: inner.send(value)


def _throwing(inner: Generator[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: inner.throw(error)


class _InContext:
    """An awaitable of which every step is run in a context, whichever task awaits it."""

    def __init__(self, awaitable: Awaitable[Any], context: Context) -> None:
        self._awaitable = awaitable
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        return run_generator(_steps(self._awaitable), self._context)


def _steps(awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    return (yield from awaitable.__await__())
