"""Specifies what is kept for a span from its start to its end, on spans of the SDK and of another make."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_polar.capture import starts
from otel_polar.capture.starts import Starts

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("tests")


def of_another_make() -> Any:
    """A span whose attributes take no attribute."""
    context = object()
    return SimpleNamespace(_attributes={}, get_span_context=lambda: context)


@pytest.mark.parametrize("make", [lambda: TRACER.start_span("a"), of_another_make], ids=["the SDK's", "another's"])
def test_what_was_kept_is_found_by_whoever_kept_it(make: Any) -> None:
    """Two processors of one application do not see each other's."""
    mine: Starts[str] = Starts()
    other: Starts[str] = Starts()
    first, second = make(), make()
    mine.keep(first, "first")
    other.keep(first, "other")
    mine.keep(second, "second")

    assert (mine.look(first), mine.look(second), other.look(first), other.look(second)) == (
        "first",
        "second",
        "other",
        None,
    )
    assert (mine.take(first), mine.take(second)) == ("first", "second")


def test_the_ended_span_that_processors_get_is_known_for_the_started_one() -> None:
    """They are two objects."""
    mine: Starts[str] = Starts()
    span: Any = TRACER.start_span("a")
    mine.keep(span, "kept")
    span.end()

    ended = span._readable_span()
    assert ended is not span
    assert mine.take(ended) == "kept"


def test_the_table_is_kept_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, and bill nobody."""
    monkeypatch.setattr(starts, "MAX_OPEN_SPANS", 2)
    mine: Starts[int] = Starts()
    spans = [of_another_make() for _ in range(3)]
    for number, span in enumerate(spans):
        mine.keep(span, number)

    assert [mine.take(span) for span in spans] == [None, 1, 2]
    assert mine._table == {}
