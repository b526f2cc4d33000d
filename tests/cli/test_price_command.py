"""``otel-polar price`` as a real process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import NO_VARIABLES
from tests.cli.command import run_command as run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AT = ("--at", "2026-11-20T12:00:00Z")


def lines(*arguments: str, code: int = 0, env: Mapping[str, str] = NO_VARIABLES) -> list[str]:
    """What is printed, a line each, with the columns joined by one space."""
    result = run("price", *arguments, env=env)
    assert result.returncode == code, result.stderr
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_price_is_explained_line_by_line() -> None:
    """300 at 0.15, 512 at 0.075 and 142 at 0.60 dollars a million: 45 + 38.4 + 85.2 millionths."""
    assert lines("openai", "gpt-4o-mini", "--input", "812", "--cached", "512", "--output", "142", *AT) == [
        "openai gpt-4o-mini, 2026-11-20 12:00:00 UTC",
        "tokens USD per million USD",
        "input 300 0.15 0.000045",
        "cache_read 512 0.075 0.0000384",
        "output 142 0.6 0.0000852",
        "cost 0.0001686",
        "",
        "on the event: _cost 0.016860000000 cents, cost_nanos 168600",
        "by genai-prices 0.2.3, entry openai/gpt-4o-mini",
    ]


def test_every_kind_of_token_can_be_named() -> None:
    """Whoever checks a bill has them all."""
    told = lines(
        *("anthropic", "claude-sonnet-4-5-20250929", "--input", "200001", "--cache-write", "100"),
        *("--cache-write-1h", "10", "--output", "10", "--reasoning", "4", "--tier", "batch", *AT),
    )

    assert told[0].endswith("UTC, tier batch")
    assert [line.split()[0] for line in told[2:7]] == ["input", "cache_write", "cache_write_1h", "output", "reasoning"]
    assert told[-1].endswith("its prices above 200,000 input tokens")
    audio = lines("openai", "gpt-audio", "--input", "10", "--audio-input", "4", "--output", "9", "--audio-output", "5")
    assert [line.split()[0] for line in audio[2:6]] == ["input", "audio_input", "output", "audio_output"]


def test_the_price_is_that_of_the_date() -> None:
    """A bill of last year was by last year's list."""
    assert "cost 0.01" in lines("openai", "o3", "--input", "1000", "--at", "2025-06-09")
    assert "cost 0.002" in lines("openai", "o3", "--input", "1000", "--at", "2025-06-10")


def test_without_tokens_the_prices_themselves_are_shown() -> None:
    """What it would cost is the first question."""
    told = lines("openai", "gpt-4o-mini", *AT)

    assert told[2:6] == ["input 0.15", "output 0.6", "cache_read 0.075", "cache_write 0.15"]
    assert "cost 0" in told


def test_a_call_without_a_price_ends_with_1_and_the_lines_to_add() -> None:
    """A script must see it, and a person what to do."""
    told = lines("openai", "gpt-9000", "--input", "10", "--cached", "5", code=1)

    assert told[1] == "unpriced: genai-prices 0.2.3 has no model 'gpt-9000' of provider 'openai'"
    assert told[-1] == 'usd_per_million_tokens = { input = "?", output = "?", cache_read = "?" }'


def test_the_rate_card_the_markup_and_the_customer_are_those_of_the_process(tmp_path: Path) -> None:
    """The same environment, the same price."""
    card = tmp_path / "prices.toml"
    card.write_text(
        'version = "7"\n[[prices]]\nprovider = "openai"\nmodel = "gpt-4o"\ncustomer = "user_42"\n'
        'usd_per_million_tokens = { input = "1" }\nusd_per_request = "0.5"\n'
    )
    env = {"OTEL_POLAR_RATE_CARD": str(card), "OTEL_POLAR_MARKUP": "1.5"}

    told = lines("openai", "gpt-4o", "--input", "1000000", "--customer", "user_42", env=env)

    assert told[2:6] == ["input 1,000,000 1 1", "request 0.5", "cost 1.5", "charge x 1.5 2.25"]
    assert told[-1] == "by prices.toml 7, entry openai/gpt-4o"


def test_what_may_be_off_is_said() -> None:
    """An approximate price is no invoice."""
    told = lines("azure.ai.openai", "gpt-4o", "--input", "5", "--server-address", "llm.internal")

    assert told[-2:] == [
        "approximate: through llm.internal, as if called directly",
        "approximate: Azure's price depends on the region and the kind of deployment, which are not on the span",
    ]


def test_programs_get_one_object() -> None:
    """With a reason where there is no price."""
    priced = run("price", "openai", "gpt-4o-mini", "--input", "1000", "--json", *AT)
    unpriced = run("price", "openai", "gpt-9000", "--input", "1000", "--json")

    answer = json.loads(priced.stdout)
    assert (answer["cost_usd"], answer["cost_nanos"], answer["cost_cents"]) == ("0.00015", 150_000, "0.015000000000")
    assert answer["lines"] == [{"what": "input", "tokens": 1000, "usd_per_million": "0.15", "usd": "0.00015"}]
    assert (answer["approximate"], answer["matched"]) == (False, "openai/gpt-4o-mini")
    assert unpriced.returncode == 1
    assert json.loads(unpriced.stdout)["cost_usd"] is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("openai", "gpt-4o", "--input", "5", "--cached", "9"), "9 read from cache and 0 written to it, of only 5"),
        (("openai", "gpt-4o", "--at", "yesterday"), "--at is 'yesterday'"),
    ],
)
def test_what_cannot_be_is_told(arguments: tuple[str, ...], why: str) -> None:
    """A price of an impossible call is none."""
    result = run("price", *arguments)

    assert result.returncode == 2
    assert why in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_rate_card_is_told_with_its_line(tmp_path: Path) -> None:
    """The quickest way to check a card is to ask it."""
    card = tmp_path / "prices.toml"
    card.write_text('[[prices]]\nprovider = "openai"\nmodle = "gpt-4o"\n')

    result = run("price", "openai", "gpt-4o", env={"OTEL_POLAR_RATE_CARD": str(card)})

    assert result.returncode == 3
    assert "rate card prices.toml, line 3, prices[0].modle: no such field" in result.stderr
