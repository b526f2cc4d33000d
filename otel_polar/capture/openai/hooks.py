"""``OpenAIHooks``: the two methods of the ``openai`` client through which every request goes, and what is done there.

Nothing here raises into the application: whatever goes wrong is logged, and the request goes on as it was.

Source: openai-python 1.26 to 3.54, ``_base_client.SyncAPIClient`` and ``AsyncAPIClient``: ``request`` and
``_process_response``.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal

import wrapt
from opentelemetry import context

from otel_polar.capture.abandoned import act_on_abandoned
from otel_polar.capture.openai.estimate import count_by_bytes
from otel_polar.capture.openai.requests import Plan, Planner, is_refused_usage
from otel_polar.capture.openai.websockets import CONNECTIONS, Sockets
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from opentelemetry.trace import TracerProvider

    from otel_polar.options import CountTokens

MODULE: Final = "openai._base_client"

_plan: Final[ContextVar[Plan | None]] = ContextVar("otel_polar_openai_plan", default=None)
_is_heard: Final[ContextVar[bool]] = ContextVar("otel_polar_openai_is_heard", default=False)


class OpenAIHooks:
    """Completes the spans of calls made with the ``openai`` client, and makes those that nobody else makes.

    ::

        hooks = OpenAIHooks(tracer_provider=provider)
        hooks.install()
        ...
        hooks.remove()

    - Streams of chats and completions ask the provider for usage; the application sees the chunks it asked for.
    - Cached, reasoning, audio and image tokens and the service tier of the answer reach the span.
    - A request that no OpenAI instrumentation has a span for gets one of ours, on whichever endpoint that is billed,
      and so does each answer over a WebSocket (Realtime, Responses).
    - The request itself is made without the baggage that says who pays.

    ``openai`` need not be imported yet, nor be installed. Any order with any instrumentation will do.

    Args:
        tracer_provider: where its own spans are made; by default the global one.
        estimate_tokens: ``"bytes"``, or how many tokens a text is, given a model and the text: where a stream ends
            without usage, its tokens are then estimated and the call is marked so. By default they are not.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        estimate_tokens: Literal["bytes"] | CountTokens | None = None,
    ) -> None:
        self._planner = Planner(tracer_provider, count_by_bytes if estimate_tokens == "bytes" else estimate_tokens)
        self._sockets = Sockets(self._planner)
        self._is_active = False
        self._wrapped: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Put the hooks in place, now or when ``openai`` is imported."""
        if not self._is_active:
            self._is_active = True
            # wrapt keeps what it is given for ever; inactive hooks let everything through.
            wrapt.register_post_import_hook(self._wrap, MODULE)
            for module in CONNECTIONS:
                wrapt.register_post_import_hook(self._wrap_connections, module)

    def remove(self) -> None:
        """Take them away again. What another has wrapped since stays, with our part of it idle."""
        self._is_active = False
        for owner, name, wrapper in self._wrapped:
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, wrapper.__wrapped__)
        self._wrapped.clear()
        act_on_abandoned()

    def _wrap(self, module: Any) -> None:
        sync_client = getattr(module, "SyncAPIClient", None)
        if not self._is_active or any(owner is sync_client for owner, _, _ in self._wrapped):
            return
        wrappers = {
            ("SyncAPIClient", "request"): self._request,
            ("SyncAPIClient", "_process_response"): self._process_response,
            ("AsyncAPIClient", "request"): self._request_async,
            ("AsyncAPIClient", "_process_response"): self._process_response,
        }
        missing = [f"{owner}.{name}" for owner, name in wrappers if not hasattr(getattr(module, owner, None), name)]
        if missing:
            logger.error(
                "this version of openai has no %s.%s: calls are billed by what your instrumentation tells, and streams"
                " are not asked for usage",
                MODULE,
                missing[0],
            )
            return
        for (owner, name), wrapper in wrappers.items():
            self._wrap_method(getattr(module, owner), name, wrapper)

    def _wrap_connections(self, module: Any) -> None:
        for name in CONNECTIONS[module.__name__]:
            owner = getattr(module, name, None)
            is_new = all(wrapped is not owner for wrapped, _, _ in self._wrapped)
            if self._is_active and is_new and owner is not None and "parse_event" in owner.__dict__:
                self._wrap_method(owner, "parse_event", self._parse_event)

    def _wrap_method(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        wrapped = wrapt.FunctionWrapper(owner.__dict__[name], wrapper)
        setattr(owner, name, wrapped)
        self._wrapped.append((owner, name, wrapped))

    def _request(self, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        plan = self._plan(instance, args, kwargs)
        if plan is None:
            return wrapped(*args, **kwargs)
        with _sending(plan):
            try:
                try:
                    result = wrapped(*_with_options(args, plan), **_with_named_options(kwargs, plan))
                except Exception as error:
                    asking = plan.asking
                    if asking is None or not is_refused_usage(error, plan):
                        raise
                    asking.take_back()
                    result = wrapped(*args, **kwargs)
                    asking.was_refused()
            except BaseException as error:
                plan.fail(error)
                raise
        plan.answered(result)
        return result

    async def _request_async(
        self, wrapped: Callable[..., Awaitable[Any]], instance: Any, args: Any, kwargs: Any
    ) -> Any:
        plan = self._plan(instance, args, kwargs)
        if plan is None:
            return await wrapped(*args, **kwargs)
        with _sending(plan):
            try:
                try:
                    result = await wrapped(*_with_options(args, plan), **_with_named_options(kwargs, plan))
                except Exception as error:
                    asking = plan.asking
                    if asking is None or not is_refused_usage(error, plan):
                        raise
                    asking.take_back()
                    result = await wrapped(*args, **kwargs)
                    asking.was_refused()
            except BaseException as error:
                plan.fail(error)
                raise
        plan.answered(result)
        return result

    def _process_response(self, wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        plan = _plan.get()
        if plan is not None and self._is_active:
            response = kwargs.get("response")
            if response is not None:
                plan.received(response)
        return wrapped(*args, **kwargs)

    def _parse_event(self, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if not self._is_active or _is_heard.get():
            # Other hooks of ours are around these.
            return wrapped(*args, **kwargs)
        token = _is_heard.set(True)
        try:
            event = wrapped(*args, **kwargs)
        finally:
            _is_heard.reset(token)
        self._sockets.hear(instance, kwargs.get("data", args[0] if args else None))
        return event

    def _plan(self, instance: Any, args: Any, kwargs: Any) -> Plan | None:
        if not self._is_active:
            return None
        try:
            act_on_abandoned()
            options = kwargs["options"] if "options" in kwargs else args[1]
            outer = _plan.get()
            if outer is not None and outer.options is options:
                # Other hooks of ours are around these, and have seen to it.
                return None
            return self._planner.plan(instance, options, is_stream=bool(kwargs.get("stream", False)))
        except Exception as error:  # noqa: BLE001 - the application must not notice
            logger.error("an openai request could not be looked at (%s); it is made all the same", describe(error))
            return None


@contextmanager
def _sending(plan: Plan) -> Iterator[None]:
    """The context in which a request is made: without billing members, and with our span, if it has one."""
    token = context.attach(plan.context)
    plan_token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(plan_token)
        context.detach(token)


def _with_options(args: tuple[Any, ...], plan: Plan) -> tuple[Any, ...]:
    return args if len(args) <= 1 else (args[0], plan.options, *args[2:])


def _with_named_options(kwargs: dict[str, Any], plan: Plan) -> dict[str, Any]:
    return {**kwargs, "options": plan.options} if "options" in kwargs else kwargs
