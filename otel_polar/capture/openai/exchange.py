"""``Exchange``: one request and its answer, and the span they belong to.

The span is that of an OpenAI instrumentation, where one is around the request, and otherwise one of ours. To a foreign
one the counts are added in the moment when it ends: until then its instrumentation may write over them, as
opentelemetry-instrumentation-openai-v2 2.4b0 does with the zeros of a stream whose usage it has not seen.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Status, StatusCode

from otel_polar.billing import semconv
from otel_polar.capture.abandoned import act_safely
from otel_polar.capture.openai.answers import Answer
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import Span

    from otel_polar.capture.openai.estimate import Estimate

_OF_THE_CLIENT: Final = frozenset(
    {"opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.genai.openai"},
)
_UTIL_GENAI: Final = "opentelemetry.util.genai.handler"
INSTRUMENTATION_SCOPES: Final = _OF_THE_CLIENT | {_UTIL_GENAI}
"""Scopes of spans around one request, in the words of the GenAI conventions.

They are added to. Around those of others, a span of our own tells the same call once more."""

_FINISHED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})

_claimed: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


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
        estimate: what went by, if the application wants a guess where a stream has no usage.
    """

    def __init__(self, span: Span, *, is_ours: bool, estimate: Estimate | None = None) -> None:
        self.answer = Answer()
        self.hides_usage = False
        """Whether usage was asked for that the application did not ask for."""
        self.is_watched = False
        """Whether the application reads the answer itself, later."""
        self.is_read = False
        """Whether it has begun to."""
        self.on_over: list[Callable[[], object]] = []
        """What is to be done when it is over."""
        self._span = span
        self._is_ours = is_ours
        self._estimate = estimate
        self._is_over = False
        self._process_id = os.getpid()
        self._postponed_end_unix_nano: int | None = None
        if not is_ours:
            _claimed.add(span)
            _before_end(span, self)

    @property
    def hears(self) -> bool:
        """Whether every event is to be heard, and not only those with usage."""
        return self._estimate is not None

    def hear(self, data: object) -> None:
        """Learn what a body or an event says; never raises, for the application is reading it."""
        try:
            self.answer.learn(data)
            if self._estimate is not None:
                self._estimate.hear(data)
        except Exception as error:  # noqa: BLE001 - as above
            _say(error)

    def keep_until_collected(self, response: object) -> None:
        """End the span when *response* is collected, should the application neither read nor close it."""
        weakref.finalize(response, act_safely, self.abandon)

    def finish(self, error: BaseException | None = None) -> None:
        """The request has failed, or its answer has been read or given up. Only the first word counts."""
        # A child that was forked meanwhile has a copy, whose answer is the parent's to read.
        if not self._is_over and os.getpid() == self._process_id:
            self._is_over = True
            end_unix_nano = time.time_ns()
            act_safely(lambda: self._finish(error, end_unix_nano))

    def abandon(self) -> None:
        """Nobody will read the answer: end the span, also a foreign one, whose instrumentation is gone with it."""
        self.finish()
        if self._is_over and not self._is_ours and self._span.is_recording() and _ends_with_answer(self._span):
            self._span.end()

    def may_end(self, end_unix_nano: int | None) -> bool:
        """Whether a foreign span may end now.

        Not before the application has begun to read the answer, whose usage would come too late
        (opentelemetry-instrumentation-genai-openai 1.3b0, ``with_streaming_response``).
        """
        if not self.is_watched or self.is_read or self._is_over:
            return True
        self._postponed_end_unix_nano = time.time_ns() if end_unix_nano is None else end_unix_nano
        return False

    def complete(self) -> None:
        """Write what is known on the span."""
        try:
            present = self._span.attributes or {}
            for name, value in self.answer.names().items():
                if not any(spelling in present for spelling in _SPELLINGS[name]):
                    self._span.set_attribute(name, value)
            counts = self.answer.counts()
            if not counts and self._estimate is not None and self._estimate.has_begun:
                counts = self._estimate.counts(self.answer.model)
            for name, value in counts.items():
                self._span.set_attribute(name, value)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            logger.error("usage could not be written on a span (%s); the application is not affected", describe(error))

    def _finish(self, error: BaseException | None, end_unix_nano: int) -> None:
        try:
            for act in self.on_over:
                act()
            if self._is_ours:
                if error is not None:
                    # Without its words: they may repeat the prompt.
                    self._span.set_status(Status(StatusCode.ERROR))
                    self._span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
                self.complete()
                self._span.end(end_unix_nano)
            elif self._postponed_end_unix_nano is not None:
                self._span.end(self._postponed_end_unix_nano)
        except Exception as wrong:  # noqa: BLE001 - another processor of the application's may raise
            logger.error("a span of an openai request could not be ended (%s)", describe(wrong))


class Fetched:
    """An answer that was made before. Only one that was made in the background has its usage here, and gets a span."""

    def __init__(self, start: Callable[[dict[str, str]], Any]) -> None:
        self.answer = Answer()
        self.hides_usage = False
        self.is_watched = False
        self.is_read = False
        self.hears = True
        self.on_over: list[Callable[[], object]] = []
        self._start = start
        self._is_over = False
        self._process_id = os.getpid()

    def hear(self, data: object) -> None:
        """Learn what a body or an event says; never raises."""
        try:
            self.answer.learn(data)
        except Exception as error:  # noqa: BLE001 - as of any exchange
            _say(error)

    def keep_until_collected(self, response: object) -> None:
        """As of any exchange."""
        weakref.finalize(response, act_safely, self.finish)

    def finish(self, error: BaseException | None = None) -> None:
        """It has been read; an *error* changes nothing about what was used."""
        del error
        if not self._is_over and os.getpid() == self._process_id:
            self._is_over = True
            act_safely(self._tell)

    def _tell(self) -> None:
        try:
            for act in self.on_over:
                act()
            answer = self.answer
            if not answer.is_background or answer.status not in _FINISHED or not answer.counts():
                return
            span = self._start({} if answer.model is None else {"model": answer.model})
            if span.is_recording():
                exchange = Exchange(span, is_ours=True)
                exchange.answer = answer
                exchange.finish()
        except Exception as wrong:  # noqa: BLE001 - the application must not notice
            _say(wrong)


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


def _before_end(span: Span, exchange: Exchange) -> None:
    """Have *exchange* complete the span when it ends, before it is closed to writing.

    A span processor comes too late for that: opentelemetry-sdk 1.45 calls ``_on_ending`` when the attributes cannot be
    written any more. So the span's own ``end`` is put behind another on this one span.
    """

    def end(end_time: int | None = None) -> None:
        if exchange.may_end(end_time):
            span.__dict__.pop("end", None)
            exchange.complete()
            span.end(end_time)

    span.__dict__["end"] = end


def _say(error: Exception) -> None:
    logger.error("an openai answer could not be looked at (%s); the application is not affected", describe(error))
