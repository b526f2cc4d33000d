"""Specifies the guarded propagator: nobody from outside says who pays, and nobody outside learns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from otel_polar import bill_to, hide_billing_baggage
from otel_polar.capture.identity import SIGNED_MEMBER
from otel_polar.capture.propagator import PolarBaggagePropagator
from tests.capture.support import HELD, inbound_baggage, members
from tests.capture.test_signing import SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

TRACER: Final = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
EVIL: Final = {"baggage": "userId=victim,customer_id=victim,theirs=kept,plan=free"}


def sent(propagator: PolarBaggagePropagator, *, kind: SpanKind = SpanKind.CLIENT, **attributes: Any) -> str:
    """The header of a request about which an HTTP client has a span with these attributes."""
    headers: dict[str, str] = {}
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    with TRACER.start_as_current_span("GET", kind=kind, attributes=named):
        propagator.inject(headers)
    return headers.get("baggage", "")


def received(propagator: PolarBaggagePropagator, headers: Mapping[str, str]) -> Context:
    return propagator.extract(headers, Context())


def test_an_inbound_identity_is_dropped_and_other_members_stay(make_app: MakeApp) -> None:
    """Tags as well: a forged one may choose the meter."""
    make_app(tags="plan")

    assert baggage.get_all(received(PolarBaggagePropagator(), EVIL)) == {"theirs": "kept"}


def test_an_inbound_identity_is_kept_where_the_user_says_that_nobody_from_outside_can_call(app: App) -> None:
    """Such as in a worker behind a broker."""
    there = received(PolarBaggagePropagator(trust=True), {"baggage": "userId=alice"})
    app.call(parent=there)

    assert app.payers() == ["alice"]


def test_a_signed_identity_passes_and_a_forged_signature_holds_the_call(make_app: MakeApp) -> None:
    """The processor looks at it: a wrong one must not look like none at all."""
    app = make_app(baggage_secret=SECRET)
    headers: dict[str, str] = {}
    with bill_to("alice"):
        PolarBaggagePropagator(hosts="*").inject(headers)
    app.call(parent=received(PolarBaggagePropagator(), headers))
    app.call(parent=received(PolarBaggagePropagator(), {"baggage": f"{SIGNED_MEMBER}=forged,userId=victim"}))
    app.call(parent=received(PolarBaggagePropagator(), {"baggage": "userId=victim"}))

    assert app.payers() == ["alice", HELD, HELD]
    assert app.pipeline.counts["identity refused"] == 1


@pytest.mark.parametrize(
    ("attributes", "is_sent"),
    [
        ({"url__full": "https://billing.internal/v1?x=1"}, True),
        ({"http__url": "http://BILLING.internal:8080/"}, True),
        ({"server__address": "billing.internal"}, True),
        ({"net__peer__name": "billing.internal"}, True),
        ({"http__host": "billing.internal:80"}, True),
        ({"url__full": "https://api.openai.com/v1"}, False),
        ({"url__full": "https://billing.internal.evil.com/"}, False),
        ({"url__full": "https://api.openai.com/v1", "server__address": "billing.internal"}, False),
        ({"server__address": "evil.com"}, False),
        ({}, False),
        ({"kind": SpanKind.SERVER, "server__address": "billing.internal"}, False),
        ({"kind": SpanKind.PRODUCER}, True),
    ],
)
def test_who_pays_is_sent_to_the_hosts_of_the_list_only(app: App, attributes: dict[str, Any], *, is_sent: bool) -> None:
    """OpenTelemetry sends baggage to every host that is called."""
    propagator = PolarBaggagePropagator(hosts=["*.internal"])
    with inbound_baggage({"theirs": "kept"}), bill_to("alice", plan="pro"):
        header = sent(propagator, **attributes)

    assert ("userId=alice" in header, "plan=pro" in header) == (is_sent, is_sent)
    assert "theirs=kept" in header
    assert app.payers() == []


def test_by_default_nobody_is_told(app: App) -> None:
    """A list that is not given is empty."""
    with bill_to("alice"):
        assert sent(PolarBaggagePropagator(), server__address="localhost") == ""
    assert app.payers() == []


def test_a_request_without_a_recorded_span_tells_nobody_but_everybody_if_all_hosts_are_listed() -> None:
    """Where it goes is not known."""
    headers: dict[str, str] = {}
    with bill_to("alice"), trace.use_span(trace.INVALID_SPAN):
        PolarBaggagePropagator(hosts="billing.internal").inject(headers)
        assert headers == {}
        PolarBaggagePropagator(hosts="*").inject(headers)
    assert headers == {"baggage": "userId=alice"}


def test_foreign_members_cannot_push_ours_out() -> None:
    """Ours come first, whoever set them."""
    flood = {f"junk{number}": "x" for number in range(180)}
    with inbound_baggage({**flood, "userId": "alice"}):
        header = sent(PolarBaggagePropagator(hosts="*"))

    assert header.startswith("userId=alice,junk0=x")


def test_the_environment_configures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who use no code."""
    monkeypatch.setenv("OTEL_POLAR_BAGGAGE_HOSTS", "*.internal,billing")
    monkeypatch.setenv("OTEL_POLAR_TRUST_BAGGAGE", "true")
    propagator = PolarBaggagePropagator()
    with bill_to("alice"):
        header = sent(propagator, server__address="billing")

    assert header == "userId=alice"
    assert baggage.get_all(received(propagator, EVIL))["userId"] == "victim"
    assert propagator.fields == {"baggage"}


def test_requests_can_be_made_without_telling_who_pays(app: App) -> None:
    """The vendor of a model needs not know; who pays is the same."""
    with inbound_baggage({"userId": "alice", "theirs": "kept"}), hide_billing_baggage():
        assert members() == {"theirs": "kept"}
        app.call()
    with bill_to("bob", plan="pro"), hide_billing_baggage():
        assert members() == {}
        app.call()
        with bill_to(seats=3):
            app.call()
        with bill_to("carol"):
            app.call()
    with inbound_baggage({"userId": "not an id"}), hide_billing_baggage():
        app.call()

    assert app.payers() == ["alice", "bob", "bob", "carol", HELD]
    assert [body["metadata"].get("plan") for body in app.bodies()] == [None, "pro", "pro", None]
    assert context.get_current() == {}


def test_a_block_inside_hidden_baggage_writes_none(app: App) -> None:
    """Neither its user nor its tags; both count all the same."""
    with bill_to("alice"), hide_billing_baggage(), bill_to(feature="f"):
        assert members() == {}
        app.call()
    with hide_billing_baggage(), bill_to("bob", plan="pro"):
        assert members() == {}
        app.call()
    with bill_to("carol"):
        assert members() == {"userId": "carol"}

    assert app.payers() == ["alice", "bob"]
    assert [body["metadata"].get("feature") for body in app.bodies()] == ["f", None]


def test_a_request_that_is_redirected_to_another_host_does_not_take_the_header_along(app: App) -> None:
    """HTTP clients copy the headers of the request before."""
    propagator = PolarBaggagePropagator(hosts="billing.internal")
    headers: dict[str, str] = {}
    with bill_to("alice"):
        for host in ("billing.internal", "evil.com"):
            with TRACER.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"server.address": host}):
                propagator.inject(headers)

    assert headers == {"baggage": ""}
    theirs = {"baggage": "sentry-trace_id=abc,userId=alice"}
    with bill_to("alice"), TRACER.start_as_current_span("GET", kind=SpanKind.CLIENT):
        propagator.inject(theirs)
        untouched = {"baggage": "sentry-trace_id=abc"}
        propagator.inject(untouched)
    assert theirs == untouched == {"baggage": "sentry-trace_id=abc"}
    assert app.payers() == []


def test_tags_beside_a_signature_are_not_believed_for_it(make_app: MakeApp) -> None:
    """Those that count are signed; a made up signature must not let others in."""
    app = make_app(baggage_secret=SECRET, tags="plan")
    there = received(PolarBaggagePropagator(), {"baggage": f"{SIGNED_MEMBER}=x,plan=enterprise,theirs=kept"})
    assert baggage.get_all(there).keys() == {SIGNED_MEMBER, "theirs"}
    token = context.attach(there)
    with bill_to("alice"):
        app.call()
    context.detach(token)

    assert "plan" not in app.bodies()[0]["metadata"]


def test_what_the_application_has_said_already_is_not_changed_by_a_header(app: App) -> None:
    """A context may be extracted inside a block, with a header of its own or without any."""
    with bill_to("alice"):
        for propagator in (PolarBaggagePropagator(), PolarBaggagePropagator(trust=True)):
            for headers in ({}, EVIL):
                there = propagator.extract(headers)
                assert baggage.get_all(there)["userId"] == "alice"
                assert baggage.get_baggage("customer_id", there) is None
                app.call(parent=there)

    assert app.payers() == ["alice"] * 4


def test_the_keys_of_every_processor_are_guarded(make_app: MakeApp) -> None:
    """An application may have two, with settings of their own."""
    first = make_app(external_customer_id_keys="tenant_ext")
    make_app(external_customer_id_keys="tenant_int")
    first.call(parent=received(PolarBaggagePropagator(), {"baggage": "tenant_ext=victim,tenant_int=victim"}))

    assert first.payers() == [HELD]


@pytest.mark.parametrize("url", ["http://[::1", "http://evil.com\\@billing.internal/", "", "http://"])
def test_an_address_that_cannot_be_read_is_no_host_of_the_list(app: App, url: str) -> None:
    """And no error of the application's request."""
    with bill_to("alice"):
        assert sent(PolarBaggagePropagator(hosts="billing.internal"), url__full=url) == ""
    assert app.payers() == []


def test_the_global_propagator_is_left_alone() -> None:
    """It is chosen by OTEL_PROPAGATORS, or by the application."""
    assert not isinstance(get_global_textmap(), PolarBaggagePropagator)
