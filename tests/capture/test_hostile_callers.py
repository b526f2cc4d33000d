"""A real web service with OpenTelemetry's own instrumentations, attacked with forged ``baggage`` headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from openai import OpenAI
from opentelemetry import propagate
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_polar import bill_to
from otel_polar.capture.openai import OpenAIHooks
from otel_polar.capture.propagator import PolarBaggagePropagator
from otel_polar.capture.sampling import install_sampler
from otel_polar.sandbox.openai_api import OpenAIServer
from tests.capture.openai.support import CHAT
from tests.capture.support import HELD, UUID4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

FORGED = [
    {"baggage": "userId=victim"},
    {"baggage": f"customerId={UUID4},customer_id={UUID4}"},
    {"baggage": "user.id=victim,enduser.id=victim,externalId=victim,memberId=victim"},
    {"baggage": "userId=victim;role=admin"},
    {"baggage": ",".join(f"junk{number}=x" for number in range(179)) + ",userId=victim"},
    {"baggage": "userId=victim", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
    {"baggage": "polarIdentity=WyJ2aWN0aW0iXQ.aQ.x,userId=victim"},
    {"Baggage": "userId=%76ictim"},
]


@pytest.fixture
def vendor() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def service(make_app: MakeApp, vendor: OpenAIServer) -> Iterator[tuple[App, TestClient]]:
    """A service with one endpoint that says who pays, and one that has forgotten to."""
    app = make_app()
    install_sampler(app.provider, "all")
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), PolarBaggagePropagator()]))
    api = FastAPI()
    openai = OpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0)

    @api.get("/careful")
    def careful() -> None:
        with bill_to("alice"):
            openai.chat.completions.create(**CHAT)

    @api.get("/forgetful")
    def forgetful() -> None:
        openai.chat.completions.create(**CHAT)

    instrumentors: list[Any] = [HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=app.provider, skip_dep_check=True)
    FastAPIInstrumentor.instrument_app(api, tracer_provider=app.provider)
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    with TestClient(api) as client:
        yield app, client
    hooks.remove()
    FastAPIInstrumentor.uninstrument_app(api)
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    openai.close()
    propagate.set_global_textmap(before)


def test_forged_headers_bill_nobody_wrongly_and_the_vendor_learns_nobodys_name(
    service: tuple[App, TestClient], vendor: OpenAIServer
) -> None:
    """Who is logged in pays, or nobody does; the victim never."""
    app, client = service
    for headers in FORGED:
        assert client.get("/careful", headers=headers).status_code == 200
        assert client.get("/forgetful", headers=headers).status_code == 200

    assert app.payers() == ["alice", HELD] * len(FORGED)
    for request in vendor.requests:
        assert "victim" not in str(request.headers)
        assert "alice" not in str(request.headers)
        # The HTTP client is instrumented all the same, and other members travel.
        assert "traceparent" in request.headers
    assert any("junk0=x" in request.headers.get("baggage", "") for request in vendor.requests)


def test_a_signed_identity_comes_from_one_service_to_the_next_and_a_forged_one_does_not(
    make_app: MakeApp, vendor: OpenAIServer
) -> None:
    """Over HTTP, by the instrumentations, with the standard propagator or the guarded one."""
    app = make_app(baggage_secret="a secret that both services know")  # the test's own
    api = FastAPI()
    openai = OpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0)

    @api.get("/")
    def call() -> None:
        openai.chat.completions.create(**CHAT)

    FastAPIInstrumentor.instrument_app(api, tracer_provider=app.provider)
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    with TestClient(api) as client:
        with bill_to("alice"):
            headers: dict[str, str] = {}
            propagate.inject(headers)
        assert client.get("/", headers=headers).status_code == 200
        forged = {"baggage": headers["baggage"].replace("userId=alice", "userId=victim")}
        assert client.get("/", headers=forged).status_code == 200
    hooks.remove()
    FastAPIInstrumentor.uninstrument_app(api)
    openai.close()

    assert app.payers() == ["alice", HELD]
    assert app.pipeline.counts["identity refused"] == 1
    assert [request for request in vendor.requests if "alice" in str(request.headers)] == []
