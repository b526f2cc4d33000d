"""The ``bill_to`` blocks that are entered where the code is, and contexts that come back after their block was left.

OpenTelemetry restores a context by a token, to whatever was current when the token was made. An instrumentation that
attaches a span's context when a stream is created and detaches it when the stream has ended (opentelemetry-util-genai
1.1b0, ``GenAIInvocation``) thereby restores the context of the block the stream was *created* in, although that block
may have been left since, or another entered::

    with bill_to("alice"):
        stream = client.chat.completions.create(stream=True, ...)
    for chunk in stream: ...
    client.chat.completions.create(...)  # the current context is alice's again

So every block is remembered where it is entered and left, beside OpenTelemetry's context, and a current context that
belongs to a block which was left here, or which is not the innermost one here, is not believed. Threads and tasks that
were started inside a block keep it, as they should: what is entered and left is a context variable of each.

So a context that code has kept and attaches by itself, in the task that has left its block, is not believed either:
``carry_context`` is the way to run something later for whoever asked for it.

One way remains unseen: a thread of a pool that is only handed contexts (opentelemetry-instrumentation-threading), where
a stream is begun in one job and ended in a later one. A context that came back cannot be told there from one that was
handed on, and what was handed on is believed.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import context

if TYPE_CHECKING:
    from opentelemetry.context import Context

_BLOCK_KEY: Final = context.create_key("otel-polar-block")
MAX_LEFT: Final = 256
"""Of the blocks that were left, the last so many are remembered in each task."""


# Neither is a dataclass, for the sake of `import otel_polar`.
class Block:
    """One entering of a ``with`` statement. ``owner`` tells whose it is."""

    __slots__ = ("owner",)

    def __init__(self, owner: object) -> None:
        self.owner = owner


class _Entered(NamedTuple):
    block: Block
    before: Context
    inside: Context


_entered: Final[ContextVar[tuple[_Entered, ...]]] = ContextVar("otel_polar_entered", default=())
_left: Final[ContextVar[tuple[_Entered, ...]]] = ContextVar("otel_polar_left", default=())


def enter(owner: object, before: Context, inside: Context) -> None:
    """Make *inside* current. It is the context *before* with what the block adds."""
    block = Block(owner)
    marked = context.set_value(_BLOCK_KEY, block, inside)
    context.attach(marked)
    _entered.set((*_entered.get(), _Entered(block, before, marked)))


def leave(owner: object) -> None:
    """Go back to what was before the owner's innermost block; nothing happens if it has none here."""
    blocks = list(_entered.get())
    mine = next((index for index in reversed(range(len(blocks))) if blocks[index].block.owner is owner), None)
    if mine is None:
        # Entered in another context, as FastAPI does with the two halves of a dependency that is a plain generator.
        return
    entered = blocks.pop(mine)
    # Always, and not only where something inside is still attached now: what was attached and detached in between can
    # hide a stream that is still open.
    _left.set((*_left.get(), entered)[-MAX_LEFT:])
    if mine == len(blocks):
        context.attach(entered.before)
    else:
        # Out of turn, as when a generator is closed inside a block that was entered after it had begun. The inner block
        # stays as it is, and goes back to what was before both.
        blocks[mine] = blocks[mine]._replace(before=entered.before)
    _entered.set(tuple(blocks))


def current_context() -> Context:
    """The current context, or the one that should be current where a context came back that should not have."""
    current = context.get_current()
    while (before := _before(current)) is not None:
        # It may belong to a block that was left, too.
        current = before
    return current


def _before(current: Context) -> Context | None:
    """What should be current instead, ``None`` if nothing speaks against *current*."""
    block = current.get(_BLOCK_KEY)
    entered = _entered.get()
    if block is None or (entered and entered[-1].block is block):
        return None
    if entered and any(other.block is block for other in entered):
        return entered[-1].inside
    for left in reversed(_left.get()):
        if left.block is block:
            return entered[-1].inside if entered else left.before
    return None


def mend_current_context() -> None:
    """Put back what should be current, so that baggage is not sent on for somebody else either."""
    settled = current_context()
    if settled is not context.get_current():
        context.attach(settled)
