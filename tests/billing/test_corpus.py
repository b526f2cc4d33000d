"""Specifies what is billed for real spans of real instrumentations, against the usage the provider answered.

``tests/corpus/README.md`` says where the spans come from. A test of the corpus is one run of an emitter, whose spans
are read here as they are in a process: one after the other, each known again by its external id.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from otel_polar.billing.call import ModelCall, external_id, read_call
from otel_polar.billing.span import SpanRecord
from otel_polar.billing.usage import TokenUsage

CORPUS: Final = Path(__file__).parent.parent / "corpus"
BUCKETS: Final = ("input_total", "cache_read", "cache_write", "output_total", "reasoning")

CARRIED: Final = ("exact", "OVER", "input short", "free")
"""Verdicts of the corpus by which the spans carry everything needed."""

READ_EXACTLY: Final = (
    "botocore",
    "genai-bedrock",
    "genai-langchain",
    "genai-openai",
    "openai-v2",
    "scenario-agent-framework-native",
    "scenario-agent-framework-native+genai-openai",
    "scenario-anthropic-sdk-native",
    "scenario-context-propagation",
    "scenario-genai-anthropic",
    "scenario-genai-google",
    "scenario-genai-langchain",
    "scenario-genai-langchain+genai-openai",
    "scenario-genai-openai",
    "scenario-genai-openai-agents+genai-openai",
    "scenario-limits-genai-openai",
    "scenario-limits-tl-openai",
    "scenario-litellm-proxy+client",
    "scenario-openlit-anthropic",
    "scenario-semantic-kernel-native+genai-openai",
    "scenario-strands-native+genai-openai",
    "scenario-tl-anthropic+native",
    "scenario-tl-openai-agents",
    "scenario-tl-openai-agents+tl-openai",
    "traceloop-groq",
    "traceloop-openai",
    "traceloop-openai-agents",
    "traceloop-sdk",
)
"""Emitters whose spans follow OpenTelemetry's conventions: what they carry is billed to the token, in every bucket."""

BILLED_TOO_HIGH: Final = {
    "scenario-litellm-otel-callback-exp": "two spans of one call without a common id",
    "scenario-openlit": "an answer that is fetched again, of which the first call is not in the recording",
    "scenario-tl-langchain+genai-openai": "two spans of one call without a common id",
    "scenario-tl-langchain+tl-openai": "two spans of one call without a common id",
    "scenario-tl-anthropic": "adds the placeholder of message_start to the output of a stream, on the span itself",
    "traceloop-anthropic": "adds the placeholder of message_start to the output of a stream, on the span itself",
    "traceloop-bedrock": "the recorded answer holds a part of the usage only",
    "traceloop-langchain": "two spans of one call without a common id",
    "traceloop-llamaindex": "two spans of one call without a common id",
}
"""Emitters of which some runs are billed too high, and why."""


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(CORPUS / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


TRUTH: Final = {
    (row["emitter"], row["test"]): row
    for row in lines("truth")
    if not row["verdict_of_naive_sum"].startswith("truth unknown")
}
EMITTERS: Final = sorted({emitter for emitter, _ in TRUTH})


def billed(spans: list[dict[str, Any]]) -> dict[str, int]:
    """What is billed for the spans of one run, in the buckets of the truth."""
    total: Counter[str] = Counter(dict.fromkeys(BUCKETS, 0))
    usages: dict[str, TokenUsage] = {}
    for span in spans:
        call = read_call(
            SpanRecord(
                name=span["name"],
                trace_id=span["trace_id"],
                span_id=span["span_id"],
                start_time_unix_nano=span["start_ns"],
                end_time_unix_nano=span["end_ns"],
                failed=span["status"] == "ERROR",
                scope_name=span["scope"],
                attributes=span["attributes"],
                resource_attributes=span["resource"],
                dropped_attributes=span["dropped_attributes"],
            ),
        )
        if isinstance(call, ModelCall) and isinstance(call.usage, TokenUsage):
            usages.setdefault(external_id(call), call.usage)
    for usage in usages.values():
        total["input_total"] += usage.input_tokens
        total["cache_read"] += usage.cache_read_tokens
        total["cache_write"] += usage.all_cache_write_tokens
        total["output_total"] += usage.output_tokens
        total["reasoning"] += usage.reasoning_tokens
    return dict(total)


def runs(emitter: str) -> dict[str, list[dict[str, Any]]]:
    by_test: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in lines(emitter):
        by_test[span["test"]].append(span)
    return by_test


@pytest.mark.parametrize("emitter", READ_EXACTLY)
def test_what_the_spans_carry_is_billed_to_the_token(emitter: str) -> None:
    """The provider's own answer is the judge."""
    by_test = runs(emitter)
    carried = {test: row for (of, test), row in TRUTH.items() if of == emitter and _is_carried(row)}

    answers = {test: billed(by_test[test]) for test in carried}

    assert carried
    assert answers == {test: _truth(row) for test, row in carried.items()}


@pytest.mark.parametrize("emitter", EMITTERS)
def test_no_more_is_billed_than_was_used(emitter: str) -> None:
    """Whoever is billed too much has been robbed; what is billed too little is held for a person to look at."""
    by_test = runs(emitter)
    too_high = [
        test
        for (of, test), row in TRUTH.items()
        if of == emitter and any(billed(by_test[test])[key] > _truth(row)[key] for key in _TOTALS)
    ]

    assert bool(too_high) == (emitter in BILLED_TOO_HIGH), too_high


_TOTALS: Final = ("input_total", "output_total")


def _truth(row: dict[str, Any]) -> dict[str, int]:
    return {**dict.fromkeys(BUCKETS, 0), **row["billable"]}


def _is_carried(row: dict[str, Any]) -> bool:
    verdict: str = row["verdict_of_naive_sum"]
    return verdict.startswith(CARRIED)
