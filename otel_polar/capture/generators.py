"""Generators and coroutines that run in a context of their own, so that nothing they set leaks into their consumer.

A generator runs in the context of its consumer, step by step, and what it leaves set at a ``yield`` stays set there. If
another task or thread takes the next step, or closes it, OpenTelemetry cannot even put back what was. So every step is
run in one :class:`contextvars.Context`, copied when the generator was made, as a task would run it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextvars import Context


def run_generator(
    inner: Generator[Any, Any, Any], context: Context, scope: AbstractContextManager[Any] | None = None
) -> Generator[Any, Any, Any]:
    """The same generator, each step of it in *context*, and all of them inside *scope*."""
    scope = nullcontext() if scope is None else scope
    context.run(scope.__enter__)
    try:
        step: Callable[[], Any] = _sending(inner, None)
        while True:
            try:
                item = context.run(step)
            except StopIteration as stop:
                answer = stop.value
                break
            try:
                step = _sending(inner, (yield item))
            except BaseException as error:  # noqa: BLE001 - handed on
                step = _throwing(inner, error)
    except BaseException as error:
        context.run(scope.__exit__, type(error), error, error.__traceback__)
        raise
    context.run(scope.__exit__, None, None, None)
    return answer


async def run_async_generator(
    inner: AsyncGenerator[Any, Any], context: Context, scope: AbstractContextManager[Any] | None = None
) -> AsyncGenerator[Any, Any]:
    """The same asynchronous generator, each step of it in *context*, and all of them inside *scope*."""
    scope = nullcontext() if scope is None else scope
    context.run(scope.__enter__)
    try:
        step: Awaitable[Any] = _first_step(inner)
        while True:
            try:
                item = await _InContext(step, context)
            except StopAsyncIteration:
                break
            try:
                step = inner.asend((yield item))
            except BaseException as error:  # noqa: BLE001 - handed on
                step = inner.athrow(error)
    except BaseException as error:
        context.run(scope.__exit__, type(error), error, error.__traceback__)
        raise
    context.run(scope.__exit__, None, None, None)


async def run_coroutine(inner: Awaitable[Any], context: Context) -> Any:
    """What a coroutine answers, each step of it in *context*."""
    return await _InContext(inner, context)


def _first_step(inner: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Begin without telling the event loop, which is told of the generator around it, and would close both at once."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


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
