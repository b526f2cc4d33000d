"""``carry_context``: who pays, where threads would forget it.

``threading.Thread``, ``ThreadPoolExecutor.submit`` and ``loop.run_in_executor`` run a function in an empty context, in
which nobody pays. ``asyncio`` tasks and ``asyncio.to_thread`` keep theirs.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

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
        return context.copy().run(function, *args, **kwargs)

    return carried
