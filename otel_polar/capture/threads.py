"""``carry_context``: who pays, where threads would forget it.

``threading.Thread``, ``ThreadPoolExecutor.submit`` and ``loop.run_in_executor`` run a function in an empty context, in
which nobody pays. ``asyncio`` tasks and ``asyncio.to_thread`` keep theirs.
"""

from __future__ import annotations

import inspect
from contextvars import copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from otel_polar.capture.generators import run_async_generator, run_coroutine, run_generator

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def carry_context(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, run in the context of now wherever it is called.

    ::

        executor.submit(carry_context(work), question)
        threading.Thread(target=carry_context(work), args=(question,)).start()
        await loop.run_in_executor(None, carry_context(work), question)
        executor.map(carry_context(work), questions)

    Each call has a copy of the context to itself: nothing it sets is seen by another, or by what the thread does next.
    """
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        mine = context.copy()
        answer: Any = mine.run(function, *args, **kwargs)
        # What a coroutine function or a generator answers is run later, where nobody carries anything.
        if inspect.iscoroutine(answer):
            answer = run_coroutine(answer, mine)
        elif inspect.isgenerator(answer):
            answer = run_generator(answer, mine)
        elif inspect.isasyncgen(answer):
            answer = run_async_generator(answer, mine)
        carried_answer: R = answer
        return carried_answer

    return carried
