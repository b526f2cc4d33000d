"""Specifies how providers' usage exports are read."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from otel_polar.reconciliation.exports.form import ExportFormatError
from otel_polar.reconciliation.exports.reading import read_exports
from otel_polar.reconciliation.usage import CACHE_READ, CACHE_WRITE, CALLS, COST, INPUT, OUTPUT, model_family

DAY = date(2026, 11, 1)
BEGIN = 1_793_491_200
"""2026-11-01T00:00:00Z."""
MINI = "gpt-4o-mini-2024-07-18"
HAIKU = "claude-haiku-4-5-20251001"


def openai_json(*results: dict[str, Any], has_more: bool = False, end: int = BEGIN + 86_400) -> str:
    bucket = {"object": "bucket", "start_time": BEGIN, "end_time": end, "results": results}
    return json.dumps({"object": "page", "data": [bucket], "has_more": has_more, "next_page": None})


def openai_usage(**changes: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": 1_000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": 5,
        "project_id": None,
        "user_id": None,
        "api_key_id": None,
        "model": MINI,
        "batch": None,
        "service_tier": None,
        **changes,
    }


def anthropic_json(*results: dict[str, Any]) -> str:
    bucket = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": results}
    return json.dumps({"data": [bucket], "has_more": False, "next_page": None})


ANTHROPIC_USAGE = {
    "uncached_input_tokens": 100,
    "cache_creation": {"ephemeral_1h_input_tokens": 2, "ephemeral_5m_input_tokens": 8},
    "cache_read_input_tokens": 50,
    "output_tokens": 200,
    "server_tool_use": {"web_search_requests": 1},
    "api_key_id": None,
    "workspace_id": None,
    "model": HAIKU,
    "service_tier": None,
    "context_window": None,
}
OPENAI_CSV = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n"
    f"{BEGIN},{BEGIN + 60},2026-11-01T00:00:00+00:00,2026-11-01T00:01:00+00:00,p,3.0,,key_1,{MINI},,600,300,500,100\n"
    f"{BEGIN},{BEGIN + 60},2026-11-01T00:00:00+00:00,2026-11-01T00:01:00+00:00,p,2.0,,key_2,{MINI},,400,200,300,100\n"
)
CLAUDE_CSV = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    f"2026-11-01,{HAIKU},k,Default,standard,≤ 200k,100,8,2,50,200,1,not_available,\n"
)
CLAUDE_COST_CSV = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n"
    "2026-11-01,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,0.05,token\n"
    "2026-11-01,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.02,0.02,token\n"
)
OPENAI_COST_CSV = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item\n"
    f'{BEGIN},{BEGIN + 86400},,,0.003835980000000000000000000000,usd,,,"{MINI}, input"\n'
    f'{BEGIN},{BEGIN + 86400},,,0.001,usd,,,"{MINI}, output"\n'
    f"{BEGIN + 86400},{BEGIN + 172800},,,,,,,\n"
)


def openai_cost(amount: Any, currency: str = "usd") -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": amount, "currency": currency},
        "line_item": f"{MINI}, input",
        "project_id": None,
    }


ANTHROPIC_COST = {
    "amount": "7.5",
    "currency": "USD",
    "model": HAIKU,
    "cost_type": "tokens",
    "token_type": "output_tokens",
    "description": "Claude Haiku 4.5 Usage - Output Tokens",
    "service_tier": "standard",
    "context_window": "0-200k",
    "workspace_id": None,
}
OPENAI_TOKENS = {CALLS: 5, INPUT: 1_000, CACHE_READ: 800, OUTPUT: 500}
ANTHROPIC_TOKENS = {INPUT: 160, CACHE_READ: 50, CACHE_WRITE: 10, OUTPUT: 200}


@pytest.mark.parametrize(
    ("text", "provider", "model", "expected"),
    [
        (openai_json(openai_usage()), "openai", MINI, OPENAI_TOKENS),
        (OPENAI_CSV, "openai", MINI, OPENAI_TOKENS),
        (f"\ufeff{OPENAI_CSV}".replace("\n", "\r\n"), "openai", MINI, OPENAI_TOKENS),
        (openai_json(openai_cost(0.06)), "openai", MINI, {COST: 60_000_000}),
        (OPENAI_COST_CSV, "openai", MINI, {COST: 4_835_980}),
        (anthropic_json(ANTHROPIC_USAGE), "anthropic", HAIKU, ANTHROPIC_TOKENS),
        (CLAUDE_CSV, "anthropic", HAIKU, ANTHROPIC_TOKENS),
        # Cents in JSON, dollars in CSV.
        (anthropic_json(ANTHROPIC_COST), "anthropic", HAIKU, {COST: 75_000_000}),
        (CLAUDE_COST_CSV, "anthropic", "Claude Haiku 4.5", {COST: 70_000_000}),
    ],
)
def test_each_form_is_recognised_by_its_columns(text: str, provider: str, model: str, expected: dict[str, int]) -> None:
    """Nobody has to say what a file is, and every unit is the ledger's afterwards."""
    exports = read_exports([("export", text)])

    usage = exports.usage[provider]
    assert {count: amount for count, amount in usage.sums[DAY, model].items() if amount} == expected
    assert usage.told == expected.keys() | (usage.told & {CACHE_WRITE})
    assert DAY in usage.days


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "nothing can be compared"),
        ("start_time,end_time,start_time_iso,end_time_iso\n1,2,a,b\n", "is no export in a known form"),
        ("a,b\n1,2\n", "has the columns a, b; expected: OpenAI's usage"),
        ("a,b\n1\n", "not as many cells"),
        ("{", "is no JSON"),
        ("{}", "has no 'data' with 'results'"),
        (openai_json(), "nothing can be compared"),
        (openai_json(openai_usage(model=None)), "row 1 has usage and names no model"),
        (openai_json(openai_usage(input_video_tokens=3)), "may hold usage: input_video_tokens"),
        (openai_json(openai_usage(input_tokens=-1)), "input_tokens is -1, which is no count"),
        (openai_json(openai_usage(input_tokens=1.5)), "which is no count"),
        (openai_json(openai_usage(input_tokens="many")), "which is no number"),
        (openai_json(openai_usage(), has_more=True), "the last page is missing"),
        (openai_json(openai_usage(), end=BEGIN + 7 * 86_400), "is not within one day"),
        (openai_json(openai_cost(1, "eur")), "only dollars (usd) can be compared"),
        (anthropic_json({**ANTHROPIC_USAGE, "cache_creation": {"ephemeral_24h_input_tokens": 1}}), "may hold usage"),
        (CLAUDE_CSV.replace("2026-11-01", "yesterday"), "'yesterday' is no time"),
        (openai_json(openai_usage(model=4)), "4 is no name of a model"),
        ('{"data": [{"results": [1]}]}', "has no 'data' with 'results'"),
        ("a,a\n1,2\n", "has a column twice"),
        # A decimal comma: read as a thousand, it would be a hundred times too much.
        (openai_json(openai_cost("0,25")), "which is no number"),
        (openai_json(openai_usage(input_tokens="1e30")), "which is no count"),
    ],
)
def test_what_is_not_known_for_certain_is_refused(text: str, problem: str) -> None:
    """An export that is half understood would make calls look lost, or hide that they are."""
    with pytest.raises(ExportFormatError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        read_exports([("export", text)])


def test_usage_that_is_in_two_files_is_refused() -> None:
    """It would be counted twice; pages of one report are not in each other."""
    other = OPENAI_CSV.replace(str(BEGIN), str(BEGIN + 86_400)).replace(str(BEGIN + 60), str(BEGIN + 86_460))

    assert len(read_exports([("a", OPENAI_CSV), ("b", other)]).usage["openai"].days) == 2
    with pytest.raises(ExportFormatError, match="b and a tell of the same usage"):
        read_exports([("a", OPENAI_CSV), ("b", OPENAI_CSV)])
    with pytest.raises(ExportFormatError, match="a and a tell of the same usage"):
        read_exports([("a", OPENAI_CSV), ("a", OPENAI_CSV)])


def test_the_same_usage_in_two_forms_is_refused() -> None:
    """The console's CSV beside the answer of the API: no row is in both, and all of the usage is."""
    with pytest.raises(ExportFormatError, match="both tell of 2026-11-01"):
        read_exports([("a", anthropic_json(ANTHROPIC_USAGE)), ("b", CLAUDE_CSV)])


def test_blanks_around_the_names_of_columns_make_no_difference() -> None:
    """Read by another name, every count would be nothing, and nothing is equal to an empty ledger."""
    header, _, rows = CLAUDE_CSV.partition("\n")
    spaced = f"{header.replace(',', ' , ')}\n{rows}"

    assert read_exports([("a", spaced)]).usage == read_exports([("a", CLAUDE_CSV)]).usage


def test_a_day_without_a_row_is_a_day_without_usage() -> None:
    """What the ledger has of that day is then only in the ledger, and not passed over."""
    header, _, row = CLAUDE_CSV.partition("\n")
    later = row.replace("2026-11-01", "2026-11-03")

    usage = read_exports([("a", f"{header}\n{row.rstrip()}\n{later}")]).usage["anthropic"]

    assert sorted(day.day for day in usage.days) == [1, 2, 3]


def test_what_a_file_tells_of_fewer_days_is_not_nothing_on_the_others() -> None:
    """Tokens of two days and costs of one: on the other day nobody has told what it cost."""
    two = anthropic_json(ANTHROPIC_USAGE)
    told = read_exports([("a", two), ("b", CLAUDE_COST_CSV.replace("2026-11-01", "2026-11-02"))]).usage["anthropic"]

    assert COST not in told.told_on[DAY]
    assert COST in told.told


def test_columns_that_hold_no_usage_are_passed_over_and_told() -> None:
    """Providers add columns; a name for a project harms nobody."""
    exports = read_exports([("a", openai_json(openai_usage(team="blue")))])

    assert exports.usage["openai"].notes == ["a: the columns team are not known and were passed over"]


def test_tokens_of_audio_are_told() -> None:
    """OpenAI does not say whether its totals include them."""
    exports = read_exports([("a", openai_json(openai_usage(input_audio_tokens=3)))])

    assert "audio or images" in exports.usage["openai"].notes[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HAIKU, "Claude Haiku 4.5"),
        (MINI, "gpt-4o-mini"),
        ("claude-3-5-sonnet-20241022", "Claude 3.5 Sonnet 2024-10-22"),
        ("claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku-20241022"),
        ("gpt-4.1", "GPT-4.1"),
    ],
)
def test_a_model_is_of_one_family_however_it_is_written(one: str, other: str) -> None:
    """The console writes names for people."""
    assert model_family(one) == model_family(other)


@pytest.mark.parametrize(("one", "other"), [("gpt-4o", "gpt-4o-mini"), ("claude-sonnet-4-5", "claude-sonnet-4")])
def test_two_models_are_of_two_families(one: str, other: str) -> None:
    """They have different prices."""
    assert model_family(one) != model_family(other)
