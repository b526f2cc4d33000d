"""Specifies what there is to be on Polar, from flags and from a file, and what of it is refused at once."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from otel_polar.account.setup_file import read_setup_file
from otel_polar.account.wanted import KINDS, Wanted, cents_per_unit, check_units, in_words, wanted_meter
from otel_polar.billing.event import build_event
from otel_polar.billing.pricing import Price
from otel_polar.errors import ConfigError
from otel_polar.polar_api.meters import Unit
from tests.delivery.support import a_call

if TYPE_CHECKING:
    from pathlib import Path

COST = wanted_meter("cost", event_name="llm_usage")
TOKENS = wanted_meter("total_tokens", event_name="llm_usage")


def test_every_kind_sums_a_number_that_events_have() -> None:
    """A meter over a key that no event has counts nothing, for good."""
    price = Price(usd=Decimal("0.1"), source="test")
    metadata = build_event(a_call(), price, now=2e9, markup=Decimal(2)).metadata

    assert {kind.key for kind in KINDS.values() if not isinstance(metadata.get(kind.key), int)} == set()


def test_a_meter_of_a_model_counts_its_calls_only() -> None:
    """With a star, those of every dated version of it."""
    exact = wanted_meter("cost", event_name="llm_usage", model="gpt-4o")
    all_of_them = wanted_meter("cost", event_name="llm_usage", model="gpt-4o*")

    assert in_words(exact.counting) == "the sum of cost_nanos where model eq 'gpt-4o' and name eq 'llm_usage'"
    assert "model like 'gpt-4o'" in in_words(all_of_them.counting)
    assert exact.name == "LLM cost of gpt-4o"


@pytest.mark.parametrize("model", ["", "*", "gpt-*-mini", "**"])
def test_a_model_is_a_name_or_a_part_of_one(model: str) -> None:
    """Polar's filters know no other patterns: it would count nothing."""
    with pytest.raises(ConfigError, match="a model is"):
        wanted_meter("cost", event_name="llm_usage", model=model)


def test_the_same_twice_is_refused() -> None:
    """It could not be told which of them is which."""
    renamed = wanted_meter("cost", event_name="llm_usage", name="Another name")

    with pytest.raises(ConfigError, match="two meters over"):
        Wanted((COST, renamed))
    with pytest.raises(ConfigError, match="two meters called"):
        Wanted((COST, wanted_meter("calls", event_name="llm_usage", name="LLM cost")))


@pytest.mark.parametrize(
    ("per_usd", "cents"),
    [
        ("1", "0.0000001"),  # a dollar is a hundred cents, and a thousand million billionths
        ("1.3", "0.00000013"),  # 30 % more
        ("1.00001", "0.000000100001"),  # twelve places
        ("999999999999", "99999.9999999"),  # seventeen digits at most
    ],
)
def test_dollars_for_each_dollar_of_cost_are_exact_cents_a_billionth(per_usd: str, cents: str) -> None:
    """Rounded here, every customer would be charged a little too much or too little."""
    assert cents_per_unit(COST, per_usd=Decimal(per_usd)) == Decimal(cents)


@pytest.mark.parametrize(
    ("per_usd", "why"),
    [
        ("1.000001", "5 places"),
        ("1.0000000000000000000000000000000000001", "5 places"),
        ("10000000000000", "5 digits"),
        ("0", "above 0"),
        ("-1", "above 0"),
        ("NaN", "above 0"),
        ("1e-999", "12 places"),
    ],
)
def test_a_price_that_polar_cannot_keep_is_refused(per_usd: str, why: str) -> None:
    """It is never rounded to one that it can."""
    with pytest.raises(ConfigError, match=why):
        cents_per_unit(COST, per_usd=Decimal(per_usd))


def test_dollars_go_with_a_meter_of_dollars_only() -> None:
    """1.3 dollars for each dollar of tokens is nothing."""
    with pytest.raises(ConfigError, match="counts no dollars"):
        cents_per_unit(TOKENS, per_usd=Decimal(1))
    with pytest.raises(ConfigError, match="not both"):
        cents_per_unit(COST, per_usd=Decimal(1), per_unit=Decimal(1))


@pytest.mark.parametrize("units", [0, 2**31, True, 1.5, None])
def test_credits_are_whole_units_of_32_bits(units: object) -> None:
    """Polar keeps no more; of billionths of a dollar that is two of them."""
    with pytest.raises(ConfigError, match=r"\$2\.147483647 of 'LLM cost'"):
        check_units(units, COST)


FILE = """
event_name = "chat"
[[meters]]
kind = "cost"
name = "AI usage"
[[meters]]
sum = "pages"
name = "Pages"
unit = "scalar"
where = { plan = "pro", tier = 2 }
[product]
name = "Pay as you go"
meter = "AI usage"
price_per_usd = "1.3"
[credits]
description = "Two hundred pages"
meter = "Pages"
units = 200
rollover = true
"""


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    """Names, filters, a product and credits have no room on a command line."""
    path = tmp_path / "setup.toml"
    path.write_text(FILE)

    wanted = read_setup_file(path, event_name="llm_usage")

    assert [meter.name for meter in wanted.meters] == ["AI usage", "Pages"]
    assert in_words(wanted.meters[1].counting) == (
        "the sum of pages where name eq 'chat' and plan eq 'pro' and tier eq 2"
    )
    assert wanted.meters[1].unit == Unit()
    assert wanted.product is not None
    assert (wanted.product.meter, wanted.product.cents_per_unit) == (wanted.meters[0], Decimal("0.00000013"))
    assert wanted.credits is not None
    assert (wanted.credits.meter.name, wanted.credits.units, wanted.credits.has_rollover) == ("Pages", 200, True)


def test_a_file_without_meters_has_the_usual_ones(tmp_path: Path) -> None:
    """An empty one is the command without options."""
    path = tmp_path / "setup.toml"
    path.write_text("")

    names = [meter.name for meter in read_setup_file(path, event_name="llm_usage").meters]

    assert names == ["LLM input tokens", "LLM output tokens", "LLM tokens", "LLM cost", "LLM calls"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[[meters", "not a TOML file"),
        ("[[meter]]", "unknown 'meter'"),
        ("[[meters]]\nkind = 'costs'", "no kind of meter"),
        ("[[meters]]\nkind = 'cost'\nfilter = 1", "unknown 'filter'"),
        ("[[meters]]", "either a kind or the key"),
        ("[[meters]]\nkind = 'cost'\nsum = 'x'", "not both"),
        ("[[meters]]\nkind = 'cost'\nwhere = {a = 1}", "go with sum"),
        ("[[meters]]\nsum = 'a.b'\nname = 'abc'", "without a dot"),
        ("[[meters]]\nsum = 'a'\nname = 'ab'", "3 to 255"),
        ("[[meters]]\nsum = 'a'\nname = 'abc'\nwhere = {a = 1.5}", "where a is 1.5"),
        ("[[meters]]\nsum = 'a'\nname = 'abc'\nwhere = {a = ''}", "where a is ''"),
        ("[[meters]]\nsum = 'a'\nname = 'abc'\nunit = 'cm'", "unit is 'cm'"),
        ("[[meters]]\nkind = 'cost'\nmodel = 1", "model is 1"),
        ("meters = 1", "must be tables"),
        ("event_name = 1", "event_name is 1"),
        ("[product]\nname = 'Usage'", "needs a price"),
        ("[product]\nname = 'Usage'\nprice_per_usd = 1.3", "in quotes"),
        ("[product]\nname = 'Usage'\nprice_per_usd = 'one'", "in quotes"),
        ("[product]\nname = 'Usage'\nprice_per_usd = '1'\nmeter = 'pages'", "no meter is 'pages'"),
        ("[product]\nname = 'Usage'\nprice_per_usd = '1'\ninterval = 'hour'", "interval is 'hour'"),
        ("[product]\nname = 'Usage'\nprice_per_usd = '1'\ncurrency = 'dollars'", "three letters"),
        ("product = 1", "must be a table"),
        ("[credits]\ndescription = 'Free'\nunits = '7'", "units: Polar credits"),
        ("[credits]\ndescription = 'Free'\nunits = 7\nrollover = 'yes'", "rollover is 'yes'"),
        ("[credits]\nunits = 7", "description is None"),
    ],
)
def test_what_is_off_in_a_file_is_named(tmp_path: Path, content: str, why: str) -> None:
    """A misspelt word would be a meter that counts nothing, and is frozen."""
    path = tmp_path / "setup.toml"
    path.write_text(content)

    with pytest.raises(ConfigError, match=why) as error:
        read_setup_file(path, event_name="llm_usage")

    assert str(path) in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It may be a slip of the pen."""
    with pytest.raises(ConfigError, match="No such file"):
        read_setup_file(tmp_path / "none.toml", event_name="llm_usage")
