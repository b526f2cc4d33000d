from __future__ import annotations

import json
from typing import Any

import pytest

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call, read_carefully
from tests.billing.support import span

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5",
    "gen_ai.response.model": "gpt-5-2025-08-07",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}


def tiers(attributes: dict[str, Any]) -> tuple[str | None, str | None]:
    """What was answered, and what was only asked for, read the quick way if there is one."""
    record = span({**CHAT, **attributes})
    call = read_call(record)
    assert isinstance(call, ModelCall)
    assert call == read_carefully(record)
    return call.service_tier, call.requested_service_tier


@pytest.mark.parametrize(
    ("attributes", "answered", "asked", "reason"),
    [
        ({}, None, None, "nothing said: the ordinary one"),
        ({"openai.response.service_tier": "flex"}, "flex", None, "the answer's word"),
        ({"openai.response.service_tier": "FLEX"}, "FLEX", None, "as it is written"),
        ({"gen_ai.openai.response.service_tier": "flex"}, "flex", None, "before semantic conventions 1.37"),
        ({"anthropic.response.service_tier": "batch"}, "batch", None, "Anthropic's own spans"),
        ({"llm.openai.service_tier": "priority"}, "priority", None, "litellm"),
        (
            {"openai.request.service_tier": "priority", "openai.response.service_tier": "default"},
            "default",
            None,
            "asked for is not got",
        ),
        ({"openai.request.service_tier": "flex"}, None, "flex", "nobody says what answered"),
        ({"gen_ai.openai.request.service_tier": "flex"}, None, "flex", "the same, of old"),
        ({"openai.request.service_tier": "auto"}, None, None, "left to the account: taken as ordinary"),
        ({"anthropic.request.service_tier": "standard_only"}, None, None, "the ordinary one, and no other"),
        ({"llm.invocation_parameters": '{"service_tier": "flex"}'}, None, "flex", "OpenInference: what was asked for"),
        ({"llm.invocation_parameters": '{"service_tier": "auto"}'}, None, None, "nothing asked for"),
        ({"llm.invocation_parameters": '{"temperature": 0}'}, None, None, "nothing said"),
        (
            {"llm.invocation_parameters": json.dumps({"user": '{"service_tier": "flex"}'})},
            None,
            None,
            "within a text: somebody's content",
        ),
        (
            {"llm.invocation_parameters": '{"service_tier": "flex"}', "openai.response.service_tier": "default"},
            "default",
            None,
            "the answer's word is there",
        ),
        (
            {"otel_polar.service_tier": "batch", "openai.response.service_tier": "default"},
            "batch",
            None,
            "the application's word before the emitter's",
        ),
        ({"gen_ai.usage.raw": '{"service_tier": "batch"}'}, "batch", None, "logfire: the provider's usage"),
        ({"gen_ai.usage.raw": '{"service_tier": "standard", "speed": "fast"}'}, "fast", None, "Anthropic's fast mode"),
        ({"gen_ai.usage.raw": '{"speed": "standard", "x": 1}'}, None, None, "not fast"),
        ({"gen_ai.usage.raw": '{"service_tier": "batch", "speed": "fast"}'}, "batch fast", None, "no list has that"),
        ({"gen_ai.usage.raw": '{"service_tier": "STANDARD", "speed": "fast"}'}, "fast", None, "in capitals"),
        (
            {"gen_ai.usage.raw": '{"server_tool_use": {"web_search_requests": 5}}'},
            "standard with searches",
            None,
            "a cent each, beside the tokens",
        ),
        ({"gen_ai.usage.raw": '{"server_tool_use": {"web_search_requests": 0}}'}, None, None, "none was made"),
        ({"llm.invocation_parameters": '{"serviceTier": "flex"}'}, None, "flex", "in the other spelling"),
        ({"llm.invocation_parameters": '{"speed": "fast"}'}, None, "fast", "Anthropic's fast mode, asked for"),
        ({"llm.invocation_parameters": '{"inference_geo": "us"}'}, None, "in us", "a surcharged region, asked for"),
        (
            {"llm.invocation_parameters": '{"performanceConfig": {"latency": "optimized"}}'},
            None,
            "optimized",
            "Bedrock's quicker answers",
        ),
        (
            {"llm.invocation_parameters": '{"performanceConfig": {"latency": "standard"}}'},
            None,
            None,
            "ordinary",
        ),
        (
            {"llm.invocation_parameters": '{"speed": "standard", "inference_geo": "global"}'},
            None,
            None,
            "ordinary",
        ),
        ({"openai.request.service_tier": "AUTO"}, None, None, "in capitals"),
        (
            {"langsmith.metadata.usage_metadata": '{"input_token_details": {"flex_cache_read": 8, "flex": 2}}'},
            "flex",
            None,
            "LangChain names the parts by their tier",
        ),
        ({"gen_ai.usage.raw": '{"inference_geo": "us"}'}, "standard in us", None, "a surcharged region"),
        (
            {"gen_ai.usage.raw": '{"inference_geo": "us", "service_tier": "batch"}'},
            "batch in us",
            None,
            "a batch in a surcharged region",
        ),
        ({"gen_ai.usage.raw": '{"inference_geo": "not_available"}'}, None, None, "no region"),
        ({"ai.response.providerMetadata": '{"openai":{"serviceTier":"default"}}'}, "default", None, "Vercel's SDK"),
    ],
)
def test_the_tier_is_what_the_answer_says(
    attributes: dict[str, Any], answered: str | None, asked: str | None, reason: str
) -> None:
    """Flex costs half, priority double; what was asked for is not always what answered."""
    assert tiers(attributes) == (answered, asked), reason
