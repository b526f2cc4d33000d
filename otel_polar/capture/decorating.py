"""A block as a decorator of any kind of function: plain ones, coroutine functions, generators of either kind.

What a plain function answers may itself be a coroutine or a generator, such as that of a wrapper around one: it is run
inside the block, too.
"""

from __future__ import annotations

import inspect
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import wrapt

from otel_polar.capture.generators import run_async_generator, run_generator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

P = ParamSpec("P")
R = TypeVar("R")


if TYPE_CHECKING:
    _FunctionWrapper = wrapt.FunctionWrapper[Any, Any]
else:
    # Its name takes no types while the program runs (wrapt 2.0).
    _FunctionWrapper = wrapt.FunctionWrapper


class _Decorated(_FunctionWrapper):
    """Pickled and copied by its name, as the function that it stands for."""

    def __reduce_ex__(self, _protocol: object) -> str:
        return str(self.__wrapped__.__qualname__)

    def __copy__(self) -> _Decorated:
        return self

    def __deepcopy__(self, _memo: object) -> _Decorated:
        return self


def decorate(
    function: Callable[P, R], scope: Callable[[], AbstractContextManager[Any]], *, follows: bool
) -> Callable[P, R]:
    """The same function, of which each call is inside a *scope*.

    Where it *follows*, a coroutine or generator that a plain function answers is run inside another one.
    """
    if inspect.iscoroutinefunction(function):

        async def around_coroutine(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            with scope():
                return await wrapped(*args, **kwargs)

        around: Any = around_coroutine
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):

        def around_generator(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            return _inside(wrapped(*args, **kwargs), scope())

        around = around_generator
    else:

        def around_call(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            with scope():
                answer = wrapped(*args, **kwargs)
                is_later = inspect.iscoroutine(answer) or inspect.isgenerator(answer) or inspect.isasyncgen(answer)
            return _inside(answer, scope()) if follows and is_later else answer

        around = around_call
    decorated: Callable[P, R] = _Decorated(function, around)
    return decorated


def _inside(later: Any, scope: AbstractContextManager[Any]) -> Any:
    """The same coroutine or generator, run inside *scope*."""
    if inspect.iscoroutine(later):
        return _await_inside(later, scope)
    run: Any = run_async_generator if inspect.isasyncgen(later) else run_generator
    return run(later, copy_context(), scope)


async def _await_inside(later: Awaitable[Any], scope: AbstractContextManager[Any]) -> Any:
    with scope:
        return await later
