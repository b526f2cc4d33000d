from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Context, Decimal, FloatOperation, Inexact, Rounded, Subnormal, localcontext
from typing import TYPE_CHECKING, Any, Final

import pytest
from genai_prices import Usage
from genai_prices.data import providers as bundled_providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ConditionalPrice, ModelInfo, ModelPrice, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.catalog.catalog import SOURCE, Catalog
from otel_polar.billing.catalog.entries import MAX_CACHED_NAMES
from otel_polar.billing.catalog.names import PROVIDER_IDS
from otel_polar.billing.catalog.options import CatalogOptions
from otel_polar.billing.catalog.tables import rates_of
from otel_polar.billing.money import EXACT, cents
from otel_polar.billing.pricing import Price, Unpriced, price_call
from otel_polar.billing.usage import TokenUsage
from tests.billing.catalog.test_by_hand import BY_HAND, PRICES, SONNET, call_of, usage_of
from tests.billing.support import START, model_call, tokens, unix_nano
from tests.billing.test_money import POLARS_AMOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.rates import Rates

NOW: Final = datetime.fromisoformat(START)


def price_of(call: ModelCall, prices: Catalog = PRICES) -> Price | Unpriced:
    return price_call(call, [prices])


def priced(call: ModelCall, prices: Catalog = PRICES) -> Price:
    price = price_of(call, prices)
    assert isinstance(price, Price), price
    return price


def catalog_of(*models: ModelInfo, provider: str = "openai", **options: Any) -> Catalog:
    """A catalogue whose lists are the bundled ones, with *models* alone in that of one provider."""
    lists = [replace(one, models=list(models)) if one.id == provider else one for one in bundled_providers]
    return Catalog(lists, **options)


def test_a_call_of_1000_dollars_or_more_is_unpriced() -> None:
    """Polar refuses the whole batch for it; below, it is taken to the last token."""
    at = price_of(call_of("openai", "gpt-4-turbo", tokens(100_000_000)))

    assert priced(call_of("openai", "gpt-4-turbo", tokens(99_999_999))).usd == Decimal("999.99999")
    assert isinstance(at, Unpriced)
    assert "Polar takes less than 1000 USD on one event" in at.reason


@pytest.mark.parametrize("tier", [None, "auto", "default", "standard", "DEFAULT", " "])
def test_the_ordinary_tiers_cost_the_ordinary_price(tier: str | None) -> None:
    """OpenAI and Anthropic name a tier on every answer; that alone must not hold anything up."""
    call = call_of("openai", "text-embedding-3-small", tokens(1_000), service_tier=tier)

    assert priced(call).usd == Decimal("0.00002")


def test_a_tier_is_known_in_any_case() -> None:
    """An emitter may write the name of an enumeration."""
    assert priced(call_of("openai", "gpt-5", tokens(1_000), service_tier="FLEX")).usd == Decimal("0.000625")


def test_an_answered_tier_is_believed_before_an_asked_one() -> None:
    """Asked for priority, answered at the standard tier: that is what the invoice says."""
    call = call_of("openai", "gpt-5", tokens(1_000), service_tier="default", requested_service_tier="priority")

    assert priced(call).usd == Decimal("0.00125")


def test_the_price_says_whose_it_is_and_which_entry() -> None:
    """Whoever doubts a bill begins there."""
    price = priced(call_of("openai", "gpt-4o-mini-2024-07-18", tokens(1_000)))

    assert (price.source, price.matched) == (SOURCE, "openai/gpt-4o-mini")
    assert (price.is_approximate, price.notes) == (False, ())


@pytest.mark.parametrize("alias", sorted(PROVIDER_IDS))
def test_every_alias_stands_for_a_provider_of_the_list(alias: str) -> None:
    """A slip of the pen there is a provider that is never priced."""
    answer = price_of(call_of(alias, "no-such-model", tokens(1)))

    assert isinstance(answer, Unpriced)
    assert "has no model 'no-such-model'" in answer.reason


def test_the_price_is_that_of_the_start() -> None:
    """A call across midnight costs what it cost when it was sent, however late it is delivered."""
    call = call_of("openai", "o3", tokens(1_000, 100), at="2025-06-09T23:59:59Z")

    later = call._replace(end_time_unix_nano=unix_nano("2025-06-11T00:00:00Z"))

    assert priced(later).usd == Decimal("0.014")


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (Context(prec=6), "few digits"),
        (Context(prec=1), "next to none"),
        (Context(prec=6, traps=[Inexact, Rounded, FloatOperation]), "traps on every rounding"),
        (Context(prec=3, Emax=3, Emin=-3, traps=[Subnormal]), "small exponents"),
    ],
)
def test_the_applications_decimal_context_changes_no_price(context: Context, reason: str) -> None:
    """The worker's thread may inherit whatever the application set for its own sums."""
    fresh = Catalog()
    with localcontext(context):
        answers = [price_of(call, fresh) for call, _, _ in BY_HAND]

    assert [answer.usd for answer in answers if isinstance(answer, Price)] == [Decimal(usd) for _, usd, _ in BY_HAND], (
        reason
    )


@pytest.fixture
def _free_for_all() -> Iterator[None]:
    """Another library has put its own, empty price list in the place of the bundled one."""
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
    yield
    set_custom_snapshot(None)


@pytest.mark.usefixtures("_free_for_all")
def test_another_librarys_price_list_changes_no_price() -> None:
    """Logfire and pydantic-ai replace the list of the whole process; a bill must not depend on them."""
    assert [priced(call, Catalog()).usd for call, _, _ in BY_HAND[:5]] == [Decimal(usd) for _, usd, _ in BY_HAND[:5]]


def test_a_price_does_not_depend_on_what_was_asked_before() -> None:
    """In one release of genai-prices, a look-up for one provider answered for another."""
    calls = [call for call, _, _ in BY_HAND]
    forwards, backwards = Catalog(), Catalog()

    one = [priced(call, forwards).usd for call in calls]
    other = [priced(call, backwards).usd for call in reversed(calls)]
    assert one == other[::-1]


def test_a_price_for_cached_input_alone_is_none() -> None:
    """One bad entry of a new release must not stop the batch, nor be billed in part."""
    odd = ModelInfo(id="odd", match=ClauseEquals("odd"), prices=ModelPrice(cache_read_mtok=Decimal(1)))

    answer = price_of(call_of("openai", "odd", tokens(10, cache_read=5)), catalog_of(odd))

    assert answer == Unpriced(f"{SOURCE} has no price for input of openai/odd")


@pytest.mark.parametrize(
    ("prices", "why"),
    [
        (ModelPrice(), "lists without a price"),
        (ModelPrice(input_mtok=None), "lists without a price"),
        (ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0)), "has a price of 0 for what was used of"),
        (ModelPrice(input_mtok=Decimal(-1), output_mtok=Decimal(1)), "a price that is no amount"),
        (ModelPrice(input_mtok=Decimal("NaN"), output_mtok=Decimal(1)), "a price that is no amount"),
        (ModelPrice(input_mtok=1.5, output_mtok=Decimal(1)), "a price that is no amount"),  # type: ignore[arg-type]  # on purpose
        (ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), new_mtok=Decimal(1)), "not known here (new_mtok)"),
    ],
)
def test_an_entry_that_cannot_be_billed_by_is_unpriced(prices: ModelPrice, why: str) -> None:
    """genai-prices answers 0 for most of these, with no sign."""
    odd = ModelInfo(id="odd", match=ClauseEquals("odd"), prices=prices)

    answer = price_of(call_of("openai", "odd", tokens(10, 1)), catalog_of(odd))

    assert isinstance(answer, Unpriced)
    assert why in answer.reason


def test_a_fee_for_each_request_is_part_of_the_price() -> None:
    """It is a thousandth of what the list says for a thousand."""
    odd = ModelInfo(
        id="odd", match=ClauseEquals("odd"), prices=ModelPrice(input_mtok=Decimal(1), requests_kcount=Decimal(5))
    )

    assert priced(call_of("openai", "odd", tokens(10)), catalog_of(odd)).usd == Decimal("0.00501")


def test_a_doubt_ends_when_the_list_has_another_price() -> None:
    """What is known about a release of the list says nothing about the next one."""
    mended = ModelInfo(
        id="deepseek-chat",
        match=ClauseEquals("deepseek-chat"),
        prices=ModelPrice(input_mtok=Decimal("0.28"), output_mtok=Decimal("0.42")),
    )

    call = call_of("deepseek", "deepseek-chat", tokens(1_000))
    assert isinstance(price_of(call), Unpriced)
    assert priced(call, catalog_of(mended, provider="deepseek")).usd == Decimal("0.00028")


def test_an_entry_that_has_moved_too_far_is_unpriced() -> None:
    """It is on the list of moves in the log, and waits there for a person."""
    prices = Catalog(doubted={"openai/gpt-4o"}, source="another list")

    answer = price_of(call_of("openai", "gpt-4o", tokens(1)), prices)

    assert isinstance(answer, Unpriced)
    assert "the price of openai/gpt-4o has moved too far" in answer.reason
    assert priced(call_of("openai", "gpt-4o-mini", tokens(1)), prices).source == "another list"


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (call_of("azure.ai.openai", "gpt-4o", tokens(1)), "Azure's price depends on the region"),
        (
            call_of("openai", "gpt-4o", tokens(1), server_address="llm.example.com"),
            "through llm.example.com, as if called directly",
        ),
        (call_of("openai", "gpt-4o", tokens(1), server_address="127.0.0.1:4000"), "through 127.0.0.1"),
        (call_of("openai", "gpt-4o", tokens(1), server_address="eu.api.openai.com"), "OpenAI's regional endpoints"),
        (
            call_of("gcp.vertex_ai", SONNET, tokens(1), server_address="europe-west1-aiplatform.googleapis.com"),
            "regional endpoints may cost 10 % more",
        ),
        (call_of("aws.bedrock", "eu.amazon.nova-lite-v1:0", tokens(1)), "outside the United States"),
        (
            call_of("openai", "gpt-4o-2099-01-01", tokens(1), request_model="gpt-4o"),
            "'gpt-4o-2099-01-01' taken for 'gpt-4o', which was asked for",
        ),
    ],
)
def test_a_price_that_may_be_off_is_marked_as_approximate(call: ModelCall, note: str) -> None:
    """It is the best that is known, and no invoice."""
    price = priced(call)

    assert price.is_approximate
    assert any(note in told for told in price.notes), price.notes


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gpt-4o-mini-2027-01-01", "0.00015"),
        ("ft:gpt-4o-mini:acme::abc", "0.0003"),
    ],
)
def test_a_model_of_a_like_name_is_priced_on_request_and_marked(model: str, usd: str) -> None:
    """Some would rather have a cost that may be off than a call that waits."""
    prices = Catalog(options=CatalogOptions(approximate_models="price"))

    price = priced(call_of("openai", model, tokens(1_000)), prices)

    assert price.usd == Decimal(usd)
    assert price.is_approximate


def test_a_base_model_never_prices_a_fine_tuned_one() -> None:
    """Not even on request: it costs half of it."""
    prices = Catalog(options=CatalogOptions(approximate_models="price"))

    assert isinstance(price_of(call_of("openai", "ft:gpt-4.1-2025-04-14:acme::abc", tokens(1)), prices), Unpriced)


def test_a_gateway_passes_on_and_a_host_of_ones_own_has_no_list_price() -> None:
    """Only the user knows which of the two a name in their own network is."""
    prices = Catalog(options=CatalogOptions(gateways=("*.gateway.internal",), self_hosted=("10.0.0.*",)))
    through = call_of("openai", "gpt-4o", tokens(1), server_address="eu.gateway.internal")
    own = call_of("openai", "gpt-4o", tokens(1), server_address="10.0.0.7")

    assert not priced(through, prices).is_approximate
    answer = price_of(own, prices)
    assert isinstance(answer, Unpriced)
    assert "10.0.0.7, which is self-hosted" in answer.reason


def test_100_000_different_names_fill_no_memory() -> None:
    """Names come from spans, so from anybody; genai-prices remembers each for ever."""
    prices = catalog_of(ModelInfo(id="odd", match=ClauseEquals("odd"), prices=ModelPrice(input_mtok=Decimal(1))))
    for number in range(100_000):
        price_of(call_of("openai", f"no-such-model-{number}", tokens(1), server_address=f"host-{number}"), prices)

    assert prices._find.cache_info().currsize == MAX_CACHED_NAMES
    assert len(prices._rates) <= 1


@pytest.mark.parametrize("start", [10**21, -(10**21)])
def test_a_start_beyond_every_calendar_is_unpriced(start: int) -> None:
    """A span's times are whatever somebody wrote there."""
    assert isinstance(price_of(model_call(start_time_unix_nano=start)), Unpriced)


ENTRIES: Final = [(provider, model) for provider in bundled_providers for model in provider.models]

USAGES: Final = st.builds(
    lambda counts: TokenUsage(*counts), st.tuples(*(st.integers(0, 400_000) for _ in TokenUsage._fields))
)


def tables_of(model: ModelInfo) -> Iterator[ModelPrice]:
    """Every table of prices that a model ever has."""
    standards = [model.prices] if isinstance(model.prices, ModelPrice) else [one.prices for one in model.prices]
    yield from standards
    for variant in model.price_variants or ():
        # At a time when every variant is in force.
        yield model.get_prices(datetime(2030, 1, 1, tzinfo=UTC), variant.when)


def genai_usage(usage: TokenUsage) -> Usage:
    """The same usage as genai-prices wants it: every count includes its parts."""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.all_cache_read_tokens,
        cache_write_tokens=usage.all_cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        input_audio_tokens=usage.audio_input_tokens + usage.audio_cache_read_tokens,
        cache_audio_read_tokens=usage.audio_cache_read_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        input_image_tokens=usage.image_input_tokens + usage.image_cache_read_tokens,
        cache_image_read_tokens=usage.image_cache_read_tokens,
        output_image_tokens=usage.image_output_tokens,
        input_video_tokens=0,
    )


@given(usage=USAGES)
@settings(max_examples=12, deadline=None)
@pytest.mark.slow
def test_every_table_of_the_list_costs_what_genai_prices_itself_calculates(usage: TokenUsage) -> None:
    """Our way around its traps, and past its speed, must lead to the same amount; of what is left out, none is."""
    compared = 0
    for provider, model in ENTRIES:
        for table in tables_of(model):
            rates = rates_of(table, provider.id, model.id)
            if isinstance(rates, str):
                continue
            # Only the buckets that have a price: genai-prices takes a more general one, or none at all, for the rest.
            missing = rates.missing(usage)
            priced_usage = without(usage, rates)
            ours = rates.cost_usd(priced_usage)
            with localcontext(EXACT):
                theirs = table.calc_price(genai_usage(priced_usage))["total_price"]
            assert ours == theirs, (provider.id, model.id, missing)
            assert POLARS_AMOUNT.fullmatch(cents(theirs % 1000))
            compared += 1

    assert compared > 2_400


def without(usage: TokenUsage, rates: Rates) -> TokenUsage:
    """*usage* with nothing in the buckets that have no price, in whichever tier that leads to."""
    while missing := rates.missing(usage):
        names = dict(zip(BUCKET_NAMES, TokenUsage._fields, strict=True))
        usage = usage._replace(**{names[bucket]: 0 for bucket in missing})
    return usage


BUCKET_NAMES: Final = (
    *("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_cache_read", "image_output"),
)


@pytest.mark.parametrize(
    "usage",
    [tokens(10_000, 700, cache_read=6_000, reasoning=300), tokens(1_000, 100), tokens(300_001, 10, cache_read=1)],
)
def test_every_model_by_its_id_is_priced_as_genai_prices_does_or_not_at_all(usage: TokenUsage) -> None:
    """From name to amount; where we have no price although they do, there is a reason."""
    snapshot = DataSnapshot(providers=list(bundled_providers), from_auto_update=False)
    agreed, held = 0, 0
    for provider, model in ENTRIES:
        answer = price_of(call_of(provider.id, model.id, usage))
        try:
            with localcontext(EXACT):
                theirs = snapshot.calc(genai_usage(usage), model.id, provider.id, None, NOW).total_price
        except (LookupError, ValueError):
            assert isinstance(answer, Unpriced)
            continue
        if isinstance(answer, Price):
            agreed += 1
            assert answer.usd == theirs, model.id
        else:
            held += 1
            assert not theirs or answer.reason.startswith(f"{SOURCE} "), model.id

    assert agreed > 1_900
    assert held < 400


def test_prices_of_a_time_of_day_are_those_of_the_start() -> None:
    """DeepSeek's peak hours cost twice as much; the clock is UTC wherever the process runs."""
    prices = [
        priced(call_of("deepseek", "deepseek-v4-flash", tokens(1_000_000), at=f"2026-11-20T{hour:02}:30:00Z")).usd
        for hour in range(24)
    ]

    assert set(prices) == {Decimal("0.15"), Decimal("0.30")}
    assert prices.count(Decimal("0.30")) == 7


def test_conditional_prices_without_a_fitting_condition_are_the_first() -> None:
    """As genai-prices has it: a list without a time is for any."""
    odd = ModelInfo(
        id="odd",
        match=ClauseEquals("odd"),
        prices=[ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2)))],
    )

    assert priced(call_of("openai", "odd", usage_of(visible_output_tokens=500)), catalog_of(odd)).usd == Decimal(
        "0.001"
    )


def test_a_provider_of_another_list_is_found_by_its_id() -> None:
    """A list that was fetched may know more providers than this release."""
    acme = Provider(
        id="acme",
        name="Acme",
        api_pattern=r"https://api\.acme\.example",
        models=[ModelInfo(id="large", match=ClauseEquals("large"), prices=ModelPrice(input_mtok=Decimal(7)))],
    )

    assert priced(call_of("acme", "large", tokens(1_000_000)), Catalog([acme])).usd == Decimal(7)
    assert priced(call_of("openai", "large", tokens(1), server_address="api.acme.example"), Catalog([acme])).matched
