"""``Plan``: what is to be done about one request before, while and after it is made."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, get_current_span, get_tracer, set_span_in_context

from otel_polar._version import __version__
from otel_polar.billing import semconv
from otel_polar.billing.scopes import OWN_OPENAI_SCOPE
from otel_polar.capture.baggage import without_billing_members
from otel_polar.capture.blocks import current_context
from otel_polar.capture.openai.bodies import look_through, watch
from otel_polar.capture.openai.endpoints import BILLED, Endpoint, endpoint_of, is_fetching
from otel_polar.capture.openai.estimate import Estimate
from otel_polar.capture.openai.exchange import Exchange, Fetched, can_claim
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

    from otel_polar.options import CountTokens

MAX_REFUSALS: Final = 1_000
REFUSED_S: Final = 3_600.0
"""So long a host is not asked for usage again that would not tell."""

_REFUSALS: Final = frozenset({400, 422})
_ORDINARY_TIERS: Final = frozenset({"auto", "default"})
_OPTIONS: Final = "stream_options"


class Plan:
    """One request: its options, the context it is made in, and its exchange, if it is one that is billed."""

    def __init__(self, current: Context, options: Any, exchange: Exchange | Fetched | None = None) -> None:
        self.context = current
        self.options = options
        """Those to make the request with: the application's, or a copy that asks for usage."""
        self.exchange = exchange
        self.is_stream = False
        self.asking: _Asking | None = None
        self._response: Any = None
        self._is_looked_through = False

    def received(self, response: Any) -> None:
        """The provider has answered with success; *response* is an ``httpx.Response``."""
        if self.exchange is None or self._response is response:
            return
        self._response = response
        try:
            if not response.is_closed and not hasattr(response, "_content"):
                watch(response, self.exchange, is_stream=self.is_stream)
                self.exchange.keep_until_collected(response)
            elif self.is_stream:
                self._is_looked_through = True
                look_through(response, self.exchange, is_stream=True)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            _say(error)

    def answered(self, result: Any) -> None:
        """The client has made of it what the application gets."""
        exchange = self.exchange
        if exchange is None or exchange.is_watched:
            return
        try:
            if not self._is_looked_through:
                _learn(exchange, result, self._response)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            _say(error)
        exchange.finish()

    def fail(self, error: BaseException) -> None:
        """The client raises; what the provider has answered nevertheless was used."""
        if self.exchange is None:
            return
        try:
            if self._response is not None and not self.exchange.is_watched and not self._is_looked_through:
                _learn(self.exchange, None, self._response)
        except Exception as wrong:  # noqa: BLE001 - the application must not notice
            _say(wrong)
        self.exchange.finish(error)


class _Asking:
    """Usage is asked for that the application did not ask for."""

    def __init__(self, plan: Plan, place: tuple[str, str], refusals: dict[tuple[str, str], float]) -> None:
        self._plan = plan
        self._before = plan.options
        self._place = place
        self._refusals = refusals

    def begin(self) -> None:
        """Ask, without touching what the application passed."""
        options = copy.copy(self._before)
        extra = getattr(options, "extra_json", None)
        name = "extra_json" if isinstance(extra, Mapping) and _OPTIONS in extra else "json_data"
        body: dict[str, Any] = {**getattr(options, name)}
        told = body.get(_OPTIONS)
        body[_OPTIONS] = {**(told if isinstance(told, Mapping) else {}), "include_usage": True}
        setattr(options, name, body)
        self._plan.options = options
        if self._plan.exchange is not None:
            self._plan.exchange.hides_usage = True

    def take_back(self) -> None:
        """Make the request as the application made it."""
        self._plan.options = self._before
        self._plan.asking = None
        if self._plan.exchange is not None:
            self._plan.exchange.hides_usage = False

    def was_refused(self) -> None:
        """Without asking it has worked: do not ask there for a while."""
        if len(self._refusals) >= MAX_REFUSALS:
            self._refusals.clear()
        self._refusals[self._place] = time.monotonic()
        logger.warning(
            "%s refuses stream_options: its streams are not asked for usage for an hour, and are not billed meanwhile"
            " unless they tell it by themselves",
            self._place[0],
        )


def is_refused_usage(error: Exception, plan: Plan) -> bool:
    """Whether a request may have failed because it asked for usage."""
    if plan.asking is None or getattr(error, "status_code", None) not in _REFUSALS:
        return False
    told = f"{error} {getattr(error, 'body', '')}"
    return _OPTIONS in told or "include_usage" in told


class Planner:
    """Makes the plan of each request."""

    def __init__(self, tracer_provider: TracerProvider | None, estimate_tokens: CountTokens | None) -> None:
        self._tracer = get_tracer(OWN_OPENAI_SCOPE, __version__, tracer_provider)
        self._estimate_tokens = estimate_tokens
        self._refusals: dict[tuple[str, str], float] = {}

    def plan(self, client: Any, options: Any, *, is_stream: bool) -> Plan:
        """What to do about a request of *client* with *options* (``FinalRequestOptions``)."""
        current = current_context()
        plan = Plan(current, options)
        plan.is_stream = is_stream
        if is_instrumentation_enabled():
            endpoint = endpoint_of(options.method, options.url)
            if endpoint is not None:
                self._plan_call(plan, client, endpoint)
            elif is_fetching(options.method, options.url):
                plan.exchange = Fetched(lambda body: self.start(client, BILLED["/responses"], body))
        plan.context = without_billing_members(plan.context)
        return plan

    def start(
        self,
        client: Any,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        *,
        is_stream: bool = False,
        host: str | None = None,
        start_time_unix_nano: int | None = None,
    ) -> Any:
        """A span of ours for a request of *client*, or to *host*."""
        attributes: dict[str, Any] = {
            semconv.OPERATION_NAME: endpoint.operation,
            semconv.PROVIDER_NAME[0]: _provider(client),
            **(_server(client) if host is None else {semconv.SERVER_ADDRESS[0]: host}),
        }
        model = body.get("model")
        if isinstance(model, str) and model:
            attributes[semconv.REQUEST_MODEL[0]] = model
        if is_stream:
            attributes[semconv.REQUEST_STREAM] = True
        tier = body.get("service_tier")
        if isinstance(tier, str) and tier not in _ORDINARY_TIERS:
            attributes[semconv.REQUESTED_SERVICE_TIER[0]] = tier
        name = f"{endpoint.operation} {model}" if isinstance(model, str) and model else endpoint.operation
        return self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_time_unix_nano
        )

    def _plan_call(self, plan: Plan, client: Any, endpoint: Endpoint) -> None:
        body = _request_body(plan.options)
        estimate = None
        if self._estimate_tokens is not None and plan.is_stream and body.get("background") is not True:
            estimate = Estimate(self._estimate_tokens, body)
        around = get_current_span(plan.context)
        if can_claim(around, endpoint.operation):
            # For the type: what can be claimed is a span of the SDK.
            span: Any = around
            _fill_in(span, client)
            plan.exchange = Exchange(span, is_ours=False, estimate=estimate)
        else:
            span = self.start(client, endpoint, body, is_stream=plan.is_stream)
            plan.context = set_span_in_context(span, plan.context)
            if span.is_recording():
                plan.exchange = Exchange(span, is_ours=True, estimate=estimate)
        if plan.exchange is not None and endpoint.has_stream_options and plan.is_stream:
            self._ask_for_usage(plan, client, body)

    def _ask_for_usage(self, plan: Plan, client: Any, body: Mapping[str, Any]) -> None:
        told = body.get(_OPTIONS)
        if isinstance(told, Mapping) and told.get("include_usage"):
            return
        if not isinstance(plan.options.json_data, Mapping):
            return
        place = (str(_server(client).get(semconv.SERVER_ADDRESS[0], "")), str(plan.options.url))
        refused_at = self._refusals.get(place)
        if refused_at is None or time.monotonic() - refused_at > REFUSED_S:
            plan.asking = _Asking(plan, place, self._refusals)
            plan.asking.begin()


def _request_body(options: Any) -> Mapping[str, Any]:
    body = options.json_data if isinstance(options.json_data, Mapping) else {}
    extra = getattr(options, "extra_json", None)
    return {**body, **extra} if isinstance(extra, Mapping) else body


def _learn(exchange: Exchange | Fetched, result: Any, response: Any) -> None:
    """Learn what the provider answered; *result* is what the client has made of it."""
    usage = getattr(result, "usage", None)
    if usage is not None and hasattr(usage, "model_dump"):
        # Already parsed: a body with embeddings is large.
        names = ("id", "object", "model", "service_tier", "background", "status")
        exchange.hear({**{name: getattr(result, name, None) for name in names}, "usage": usage.model_dump()})
    elif response is not None and hasattr(response, "_content"):
        look_through(response, exchange, is_stream=False)


def _fill_in(span: Any, client: Any) -> None:
    """The host that is called, where an instrumentation cannot tell, as openai-v2 2.4b0 of openai 3."""
    present = span.attributes or {}
    for name, value in _server(client).items():
        if name not in present:
            span.set_attribute(name, value)


def _server(client: Any) -> dict[str, str | int]:
    url = getattr(client, "base_url", None)
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    server: dict[str, str | int] = {}
    if isinstance(host, str) and host:
        server[semconv.SERVER_ADDRESS[0]] = host
        if isinstance(port, int):
            server["server.port"] = port
    return server


def _provider(client: Any) -> str:
    is_azure = any(kind.__name__ == "BaseAzureClient" for kind in type(client).__mro__)
    return "azure.ai.openai" if is_azure else "openai"


def _say(error: Exception) -> None:
    logger.error("an openai answer could not be looked at (%s); the application is not affected", describe(error))
