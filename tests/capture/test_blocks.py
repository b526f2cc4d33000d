"""Specifies that a context which comes back after its block was left bills nobody.

An instrumentation that attaches a span's context when a stream begins, and detaches it when it has ended, restores the
context the stream was created in: opentelemetry-util-genai does, and so does any code that detaches late.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, context, trace

from otel_polar import bill_to
from tests.capture.support import CHAT, HELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.capture.support import App


def begin_stream(app: App) -> Callable[[], None]:
    """A streamed call as util-genai makes it; what is returned ends it."""
    span = app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT)
    token = context.attach(trace.set_span_in_context(span))

    def end() -> None:
        context.detach(token)
        span.end()

    return end


def test_a_stream_that_ends_after_its_block_bills_its_own_user_and_nobody_after_it(app: App) -> None:
    """The next call of the same task is somebody else's, or nobody's."""
    with bill_to("alice"):
        end_stream = begin_stream(app)
    end_stream()
    app.call()

    assert app.payers() == ["alice", HELD]


def test_a_context_that_came_back_is_put_right_for_what_is_sent_on(app: App) -> None:
    """Otherwise the next request to another service would carry alice's id."""
    with bill_to("alice"):
        end_stream = begin_stream(app)
    end_stream()

    assert dict(baggage.get_all()) == {}


def test_a_stream_that_ends_inside_the_next_users_block_bills_each_their_own(app: App) -> None:
    """One loop over several users, each stream read a little late."""
    with bill_to("alice"):
        end_stream = begin_stream(app)
    with bill_to("bob"):
        end_stream()
        app.call()
    app.call()

    assert app.payers() == ["alice", "bob", HELD]


def test_a_stream_of_an_outer_block_that_ends_in_an_inner_one_leaves_the_inner_user(app: App) -> None:
    """What the code says where the call stands is what counts."""
    with bill_to("alice"):
        end_stream = begin_stream(app)
        with bill_to("bob"):
            end_stream()
            app.call()
        app.call()

    assert app.payers() == ["alice", "bob", "alice"]


def test_a_context_that_came_back_is_not_believed_before_any_span_of_ours_ended(app: App) -> None:
    """Code that detaches late need not be an instrumentation of model calls."""
    with bill_to("alice"):
        token = context.attach(context.set_value("theirs", 1))
    context.detach(token)
    app.call()
    with bill_to(plan="pro"):
        app.call()

    assert app.payers() == [HELD, HELD]


def test_a_span_that_ended_inside_the_block_does_not_hide_an_open_stream(app: App) -> None:
    """The handler of a request is such a span: its end restores the block's own context."""
    with bill_to("alice"), app.tracer.start_as_current_span("handler"):
        end_stream = begin_stream(app)
    with bill_to("bob"):
        end_stream()
        app.call()
    app.call()

    assert app.payers() == ["alice", "bob", HELD]


def test_streams_that_end_in_the_order_they_began_bill_nobody_after_them(app: App) -> None:
    """The end of the first puts the block's own context back while the second is still open."""
    with bill_to("alice"):
        end_first = begin_stream(app)
        end_second = begin_stream(app)
        end_first()
    end_second()
    app.call()

    assert app.payers() == ["alice", "alice", HELD]


def test_two_streams_that_end_in_turn_after_both_blocks_bill_nobody_after_them(app: App) -> None:
    """Each restores a context of its own, one inside the other."""
    with bill_to("alice"):
        end_first = begin_stream(app)
        with bill_to("bob"):
            end_second = begin_stream(app)
    end_second()
    app.call()
    end_first()
    app.call()

    assert app.payers() == ["bob", HELD, "alice", HELD]


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_stream_that_ends_after_several_blocks_bills_none_of_their_users_after_it(app: App, depth: int) -> None:
    """The context that comes back belongs to the innermost; the ones around it were left as well."""
    with ExitStack() as blocks:
        for level in range(depth):
            blocks.enter_context(bill_to(f"user_{level}", level=level))
        end_stream = begin_stream(app)
    end_stream()
    assert dict(baggage.get_all()) == {}
    app.call()

    assert app.payers() == [f"user_{depth - 1}", HELD]


def test_a_task_started_inside_a_block_keeps_its_user_when_the_block_is_left(app: App) -> None:
    """It is alice's work, however long it takes."""

    async def main() -> None:
        left = asyncio.Event()

        async def work() -> None:
            await left.wait()
            app.call()

        with bill_to("alice"):
            end_stream = begin_stream(app)
            task = asyncio.create_task(work())
        end_stream()
        left.set()
        await task

    asyncio.run(main())

    assert app.payers() == ["alice", "alice"]


def test_a_thread_that_was_given_the_context_keeps_its_user(app: App) -> None:
    """As opentelemetry-instrumentation-threading gives it: OpenTelemetry's context, and no other context variable."""
    left = threading.Event()

    def work(given: context.Context) -> None:
        token = context.attach(given)
        left.wait(10)
        app.call()
        context.detach(token)

    with bill_to("alice"):
        end_stream = begin_stream(app)
        thread = threading.Thread(target=work, args=(context.get_current(),))
        thread.start()
    end_stream()
    left.set()
    thread.join()

    assert app.payers() == ["alice", "alice"]


def test_a_context_that_is_given_explicitly_is_believed(app: App) -> None:
    """Whoever kept it and passes it on means it."""
    with bill_to("alice"):
        kept = context.get_current()
    app.call(parent=kept)

    assert app.payers() == ["alice"]


@pytest.mark.parametrize("count", [1, 300])
def test_what_is_remembered_of_blocks_that_were_left_is_bounded(count: int) -> None:
    """A task that lives for weeks leaves millions of them."""
    from otel_polar.capture.blocks import MAX_LEFT, _left  # noqa: PLC0415 - only here

    before = len(_left.get())
    for _ in range(count):
        with bill_to("alice"):
            pass

    assert len(_left.get()) == min(MAX_LEFT, before + count)
