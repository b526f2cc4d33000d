"""``Exchange``: one request and its answer, and the span they belong to.

The span is that of an OpenAI instrumentation, where one is around the request, and otherwise one of ours. To a foreign
one the counts are added in the moment when it ends: until then its instrumentation may write over them, as
opentelemetry-instrumentation-openai-v2 2.4b0 does with the zeros of a stream whose usage it has not seen.
"""

from __future__ import annotations

import sys
import weakref
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Status, StatusCode

from otel_polar.billing import semconv
from otel_polar.capture.openai.answers import Answer
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

    from otel_polar.capture.openai.estimate import Estimate

_OF_THE_CLIENT: Final = frozenset(
    {"opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.genai.openai"},
)
_UTIL_GENAI: Final = "opentelemetry.util.genai.handler"
INSTRUMENTATION_SCOPES: Final = _OF_THE_CLIENT | {_UTIL_GENAI}
"""Scopes of spans around one request, in the words of the GenAI conventions.

They are added to. Around those of others, a span of our own tells the same call once more."""

_claimed: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_abandoned: Final[SimpleQueue[Exchange]] = SimpleQueue()


def can_claim(span: Any, operation: str) -> bool:
    """Whether *span* is an OpenAI instrumentation's for this request, and no other request has had it."""
    scope = getattr(span, "instrumentation_scope", None)
    if scope is None or scope.name not in INSTRUMENTATION_SCOPES or not span.is_recording() or span in _claimed:
        return False
    return bool((span.attributes or {}).get(semconv.OPERATION_NAME) == operation)


class Exchange:
    """What becomes of one request.

    Args:
        span: the span it belongs to, which is recording.
        is_ours: whether the span ends with the exchange.
        estimate: what went by, if the application wants a guess where there is no usage.
    """

    def __init__(self, span: Span, *, is_ours: bool, estimate: Estimate | None = None) -> None:
        self.answer = Answer()
        self.hides_usage = False
        """Whether usage was asked for that the application did not ask for."""
        self._span = span
        self._is_ours = is_ours
        self._estimate = estimate
        self._is_over = False
        self._has_answer = False
        if not is_ours:
            _claimed.add(span)
            _before_end(span, self._complete)

    @property
    def hears(self) -> bool:
        """Whether every event is to be heard, and not only those with usage."""
        return self._estimate is not None

    def hear(self, data: object) -> None:
        """Learn what a body or an event says."""
        self.answer.learn(data)
        if self._estimate is not None:
            self._estimate.hear(data)

    def begin_answer(self) -> None:
        """The provider has begun to answer: from now on it costs something."""
        self._has_answer = True

    def keep_until_collected(self, response: object) -> None:
        """End the span when *response* is collected, should the application neither read nor close it.

        By a queue: a collector runs in the middle of anything, even of what ending a span would wait for.
        """
        weakref.finalize(response, _abandoned.put, self)

    def finish(self, error: BaseException | None = None) -> None:
        """The request has failed, or its answer has been read or given up. Only the first word counts."""
        if self._is_over:
            return
        self._is_over = True
        if not self._is_ours:
            return
        if error is not None:
            # Without its words: they may repeat the prompt.
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
        self._complete(self._span)
        self._span.end()

    def abandon(self) -> None:
        """Nobody will read the answer: end the span, also a foreign one, whose instrumentation is gone with it."""
        self.finish()
        if not self._is_ours and self._span.is_recording() and _ends_with_answer(self._span):
            self._span.end()

    def _complete(self, span: Span) -> None:
        """Write what is known on the span."""
        try:
            present = span.attributes or {}
            for name, value in self.answer.names().items():
                if not any(spelling in present for spelling in _SPELLINGS[name]):
                    span.set_attribute(name, value)
            counts = self.answer.counts()
            if not counts and self._estimate is not None and self._has_answer:
                counts = self._estimate.counts(self.answer.model)
            for name, value in counts.items():
                span.set_attribute(name, value)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            logger.error("usage could not be written on a span (%s); the application is not affected", describe(error))


_SPELLINGS: Final = {names[0]: names for names in (semconv.RESPONSE_ID, semconv.RESPONSE_MODEL)} | {
    semconv.SERVICE_TIER[1]: semconv.SERVICE_TIER,
}


def _ends_with_answer(span: Span) -> bool:
    """Whether what ends a span is what reads the answer, so that nothing will end it when that is gone."""
    scope = "" if span.instrumentation_scope is None else span.instrumentation_scope.name
    if scope != _UTIL_GENAI:
        return scope in _OF_THE_CLIENT
    # It may be a framework's, and last longer; but not inside of openai-v2, whose span is the innermost.
    completions = getattr(sys.modules.get("openai.resources.chat.completions"), "Completions", None)
    wrapper = getattr(getattr(completions, "create", None), "_self_wrapper", None)
    return str(getattr(wrapper, "__module__", "")).startswith("opentelemetry.instrumentation.openai_v2")


def end_abandoned() -> None:
    """End the spans of answers that nobody can read any more."""
    while True:
        try:
            exchange = _abandoned.get_nowait()
        except Empty:
            return
        exchange.abandon()


def _before_end(span: Span, act: Any) -> None:
    """Have *act* called with the span when it ends, before it is closed to writing.

    A span processor comes too late for that: opentelemetry-sdk 1.45 calls ``_on_ending`` when the attributes cannot be
    written any more. So the span's own ``end`` is put behind another on this one span.
    """

    def end(end_time: int | None = None) -> None:
        span.__dict__.pop("end", None)
        act(span)
        span.end(end_time)

    span.__dict__["end"] = end
