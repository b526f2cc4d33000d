"""``Plan``: what is to be done about one request before, while and after it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, get_current_span, get_tracer, set_span_in_context

from otel_polar._version import __version__
from otel_polar.billing import semconv
from otel_polar.billing.scopes import OWN_OPENAI_SCOPE
from otel_polar.capture.baggage import without_billing_members
from otel_polar.capture.blocks import current_context
from otel_polar.capture.openai.bodies import watch
from otel_polar.capture.openai.endpoints import BILLED, Endpoint, endpoint_of, is_fetching
from otel_polar.capture.openai.estimate import Estimate
from otel_polar.capture.openai.exchange import Exchange, can_claim
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

    from otel_polar.options import CountTokens

MAX_HOSTS: Final = 1_000
_REFUSALS: Final = frozenset({400, 404, 422})
_FINISHED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
_ORDINARY_TIERS: Final = frozenset({"auto", "default"})
_OPTIONS: Final = "stream_options"


class Plan:
    """One request: the context it is made in, and its exchange, if it is one that is billed."""

    def __init__(self, current: Context, exchange: Exchange | None = None) -> None:
        self.context = current
        self.exchange = exchange
        self.asked: _Asked | None = None
        self._is_watched = False
        self._response: Any = None

    def received(self, response: Any) -> None:
        """The provider has answered with success; *response* is an ``httpx.Response``."""
        try:
            self._response = response
            if self.exchange is None:
                return
            self.exchange.begin_answer()
            if not response.is_closed and not hasattr(response, "_content"):
                self._is_watched = True
                watch(response, self.exchange)
                self.exchange.keep_until_collected(response)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            _say(error)

    def answered(self, result: Any) -> None:
        """The client has made of it what the application gets."""
        exchange = self.exchange
        if exchange is None or self._is_watched:
            return
        try:
            exchange.hear(_body(result, self._response))
        except Exception as error:  # noqa: BLE001 - the application must not notice
            _say(error)
        exchange.finish()

    def fail(self, error: BaseException) -> None:
        """The client raises; what the provider has answered nevertheless was used."""
        if self.exchange is None:
            return
        try:
            if self._response is not None and not self._is_watched:
                self.exchange.hear(_body(None, self._response))
        except Exception as wrong:  # noqa: BLE001 - the application must not notice
            _say(wrong)
        self.exchange.finish(error)

    def ask_no_more(self) -> None:
        """Make the request as the application made it, now and for this host in future."""
        asked, self.asked = self.asked, None
        if asked is not None:
            asked.take_back()
        if self.exchange is not None:
            self.exchange.hides_usage = False


class _Asked:
    """A request for usage that was added to a stream's."""

    def __init__(self, options: Any, host: str, hosts: set[str]) -> None:
        self._options = options
        self._before: tuple[Any, Any] = (options.json_data, getattr(options, "extra_json", None))
        self._host = host
        self._hosts = hosts

    def add(self) -> None:
        """Add it, without touching what the application passed."""
        body, extra = self._before
        name = "extra_json" if isinstance(extra, Mapping) and _OPTIONS in extra else "json_data"
        asking = {**(extra if name == "extra_json" else body)}
        told = asking.get(_OPTIONS)
        asking[_OPTIONS] = {**(told if isinstance(told, Mapping) else {}), "include_usage": True}
        setattr(self._options, name, asking)

    def take_back(self) -> None:
        self._options.json_data, extra = self._before
        if extra is not None:
            self._options.extra_json = extra
        if len(self._hosts) < MAX_HOSTS:
            self._hosts.add(self._host)
        logger.warning(
            "%s refuses stream_options: its streams are not asked for usage any more, and cannot be billed unless they"
            " tell it by themselves",
            self._host,
        )


def is_refused_usage(error: Exception, plan: Plan) -> bool:
    """Whether a request failed because it asked for usage."""
    if plan.asked is None or getattr(error, "status_code", None) not in _REFUSALS:
        return False
    told = f"{error} {getattr(error, 'body', '')}"
    return _OPTIONS in told or "include_usage" in told


class Planner:
    """Makes the plan of each request."""

    def __init__(self, tracer_provider: TracerProvider | None, estimate_tokens: CountTokens | None) -> None:
        self._tracer = get_tracer(OWN_OPENAI_SCOPE, __version__, tracer_provider)
        self._estimate_tokens = estimate_tokens
        self._hosts_without_usage: set[str] = set()

    def plan(self, client: Any, options: Any, *, is_stream: bool) -> Plan:
        """What to do about a request of *client* with *options* (``FinalRequestOptions``)."""
        current = current_context()
        endpoint = endpoint_of(options.method, options.url)
        if not is_instrumentation_enabled():
            return Plan(without_billing_members(current))
        if endpoint is None:
            is_background = is_fetching(options.method, options.url) and not is_stream
            fetch = _Fetch(self, client, without_billing_members(current)) if is_background else None
            return fetch or Plan(without_billing_members(current))
        body = options.json_data if isinstance(options.json_data, Mapping) else {}
        if isinstance(getattr(options, "extra_json", None), Mapping):
            body = {**body, **options.extra_json}
        estimate = None if self._estimate_tokens is None else Estimate(self._estimate_tokens, body)
        around = get_current_span(current)
        if can_claim(around, endpoint.operation):
            # For the type: what can be claimed is a span of the SDK.
            span: Any = around
            _fill_in(span, client)
            exchange = Exchange(span, is_ours=False, estimate=estimate)
        else:
            span = self.start(client, endpoint, body, is_stream=is_stream)
            current = set_span_in_context(span, current)
            if not span.is_recording():
                return Plan(without_billing_members(current))
            exchange = Exchange(span, is_ours=True, estimate=estimate)
        plan = Plan(without_billing_members(current), exchange)
        if endpoint.has_stream_options and is_stream and isinstance(options.json_data, Mapping):
            self._ask_for_usage(plan, client, options, body)
        return plan

    def start(self, client: Any, endpoint: Endpoint, body: Mapping[str, Any], *, is_stream: bool = False) -> Any:
        """A span of ours for a request."""
        attributes: dict[str, Any] = {
            semconv.OPERATION_NAME: endpoint.operation,
            semconv.PROVIDER_NAME[0]: _provider(client),
            **_server(client),
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
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def _ask_for_usage(self, plan: Plan, client: Any, options: Any, body: Mapping[str, Any]) -> None:
        told = body.get(_OPTIONS)
        if isinstance(told, Mapping) and told.get("include_usage"):
            return
        host = str(_server(client).get("server.address", ""))
        if host in self._hosts_without_usage or plan.exchange is None:
            return
        plan.asked = _Asked(options, host, self._hosts_without_usage)
        plan.asked.add()
        plan.exchange.hides_usage = True


class _Fetch(Plan):
    """Fetches a response. One that was made in the background has its usage only here."""

    def __init__(self, planner: Planner, client: Any, current: Context) -> None:
        super().__init__(current)
        self._planner = planner
        self._client = client

    def answered(self, result: Any) -> None:
        try:
            body = _body(result, self._response)
            if not isinstance(body, Mapping) or body.get("background") is not True:
                return
            if body.get("status") not in _FINISHED or not isinstance(body.get("usage"), Mapping):
                return
            exchange = Exchange(self._planner.start(self._client, BILLED["/responses"], body), is_ours=True)
            exchange.hear(body)
            exchange.finish()
        except Exception as error:  # noqa: BLE001 - the application must not notice
            _say(error)


def _body(result: Any, response: Any) -> object:
    """What the provider answered, as far as it matters here; *result* is what the client has made of it."""
    names = ("id", "object", "model", "service_tier", "usage", "background", "status")
    usage = getattr(result, "usage", None)
    if usage is not None and hasattr(usage, "model_dump"):
        # Already parsed: a body with embeddings is large.
        told = {name: getattr(result, name, None) for name in names}
        return {**told, "usage": usage.model_dump()}
    if response is None or "json" not in str(response.headers.get("content-type", "")):
        return None
    body = response.json()
    return {name: body.get(name) for name in names} if isinstance(body, Mapping) else None


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
