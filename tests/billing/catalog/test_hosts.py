from __future__ import annotations

import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.billing.catalog.hosts import MAX_HOSTS, Hosts, host_of

HOSTS = Hosts(providers, gateways=("gateway.acme.com", "*.passing.on"), self_hosted=("10.*", "own.acme.com"))


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com", "openai"),
        ("https://api.openai.com/v1", "openai"),
        ("api.openai.com:443", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("acme.openai.azure.com", "azure"),
        ("acme.services.ai.azure.com", "azure"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws"),
        ("vpce-0a1b-xyz.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws"),
        ("generativelanguage.googleapis.com", "google"),
        ("us-central1-aiplatform.googleapis.com", "google"),
        ("api.deepseek.com", "deepseek"),
        ("api.groq.com", "groq"),
        ("openrouter.ai", "openrouter"),
        ("api.x.ai", "x-ai"),
        ("api.mistral.ai", "mistral"),
        ("api.moonshot.cn", "moonshotai"),
        ("api.openai.com.evil.example", None),
        ("llm.example.com", None),
        ("127.0.0.1", None),
        ("[::1]:4000", None),
        ("localhost", None),
    ],
)
def test_a_host_tells_which_provider_was_called(address: str, provider: str | None) -> None:
    """The openai client calls whoever it is pointed at `openai`."""
    place = HOSTS.place(address)

    assert place is not None
    assert place.provider == provider


@pytest.mark.parametrize("address", ["gateway.acme.com", "GATEWAY.acme.com:8080", "eu.passing.on"])
def test_a_gateway_says_nothing(address: str) -> None:
    """It passes the call on to the provider that the span names."""
    assert HOSTS.place(address) is None


@pytest.mark.parametrize("address", ["", " ", "/var/run/llm.sock", "a\nCRITICAL it burns", "unix:///x", "h" * 300])
def test_what_cannot_be_a_host_is_no_gateway_and_not_shown(address: str) -> None:
    """It makes the price approximate, and what it says may be anything."""
    place = HOSTS.place(address)

    assert place is not None
    assert (place.host, place.notes) == ("unreadable", ("through unreadable, as if called directly",))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("::1", "::1"),
        ("[::1]:4000", "::1"),
        ("fe80::1", "fe80::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("https://user:secret@Llm.Example.com.:8443/v1?x=1", "llm.example.com"),
    ],
)
def test_a_host_is_read_in_every_form(address: str, host: str) -> None:
    """Emitters write the address, the address with its port, or the whole URL."""
    assert host_of(address) == host


@pytest.mark.parametrize(
    ("address", "is_self_hosted"), [("10.0.0.7", True), ("own.acme.com:8000", True), ("acme.com", False)]
)
def test_a_host_of_ones_own_is_one_that_is_named(address: str, is_self_hosted: bool) -> None:  # noqa: FBT001 - a table
    """Nobody else can know."""
    place = HOSTS.place(address)

    assert place is not None
    assert place.is_self_hosted is is_self_hosted


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("bedrock-runtime.us-gov-west-1.amazonaws.com", "GovCloud"),
        ("acme.openai.azure.us", "Azure Government"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "China"),
    ],
)
def test_some_places_have_price_lists_of_their_own(address: str, why: str) -> None:
    """A fifth more is no rounding error."""
    place = HOSTS.place(address)

    assert place is not None
    assert place.why_other is not None
    assert why in place.why_other


@pytest.mark.parametrize(
    ("address", "note"),
    [
        ("api.openai.com", ()),
        ("aiplatform.googleapis.com", ()),
        ("eu.api.openai.com", ("OpenAI's regional endpoints may cost 10 % more",)),
        ("europe-west1-aiplatform.googleapis.com", ("regional endpoints may cost 10 % more",)),
        ("llm.example.com", ("through llm.example.com, as if called directly",)),
    ],
)
def test_what_may_make_a_price_off_is_noted(address: str, note: tuple[str, ...]) -> None:
    """The event says that its cost is approximate."""
    place = HOSTS.place(address)

    assert place is not None
    assert place.notes == note


@given(address=st.text(max_size=40))
def test_any_text_is_an_address(address: str) -> None:
    """It comes from a span."""
    HOSTS.place(address)


def test_hosts_are_remembered_in_bounds() -> None:
    """Whoever sends spans must not be able to fill the memory with them."""
    for number in range(MAX_HOSTS + 10):
        HOSTS.place(f"host-{number}")

    assert HOSTS.place.cache_info().currsize == MAX_HOSTS
