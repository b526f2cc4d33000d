"""Specifies what is billed for real spans of real instrumentations, against the usage the provider answered.

``tests/corpus/README.md`` says where the spans come from. A test of the corpus is one run of an emitter; its spans are
read and selected here as they are in a process or behind a Collector.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from otel_polar.billing.call import ModelCall, NotBilled
from otel_polar.billing.merging import merge
from otel_polar.billing.reading import read_call
from otel_polar.billing.selection import select
from otel_polar.billing.span import SpanRecord
from otel_polar.billing.usage import TokenUsage, Unmetered

CORPUS: Final = Path(__file__).parent.parent / "corpus"
TOTALS: Final = ("input_total", "output_total")
BUCKETS: Final = (*TOTALS, "cache_read", "cache_write", "reasoning")

CARRIED: Final = ("exact", "OVER", "input short", "free")
"""Verdicts of the corpus by which the spans carry everything needed."""

WRONG_ON_THE_SPAN: Final = {
    "scenario-tl-anthropic": "adds the placeholder of message_start to the output of a stream",
    "traceloop-anthropic": "adds the placeholder of message_start to the output of a stream",
    "traceloop-bedrock": "counts what the recorded answer does not hold: it has a part of the usage only",
    "traceloop-langchain": "Cohere's `tokens` instead of its `billed_units`",
    "traceloop-llamaindex": "Cohere's `tokens` instead of its `billed_units`",
    "scenario-litellm-otel-callback-exp": "the span of a call of the test before comes late, from a logging thread",
}
"""Emitters of which some runs are billed too high, because the numbers on their spans are."""

NOT_ON_ANY_SPAN: Final = {
    ("scenario-genai-anthropic+native", "scenario::create_stream_closed"): "closed early: the truth is an upper bound",
    ("scenario-oi-langchain+genai-openai", "scenario::agather"): "one of three calls failed on the client's side",
    ("scenario-oi-langchain+oi-openai", "scenario::agather"): "one of three calls failed on the client's side",
    ("scenario-oi-openai", "scenario::responses_background"): "only fetching the answer has tokens, once each time",
    ("scenario-openlit", "scenario::responses_background"): "only fetching the answer has tokens, once each time",
}
"""Runs of which the corpus says that their spans carry the tokens, though no span may be billed for them."""

PARTS_NOT_ON_THE_SPAN: Final = {
    "genai-anthropic": "thinking tokens on the span, which the recorded answer does not tell",
    "openinference-agno": "no reasoning tokens",
    "pydantic-ai": "a cache write on the span, which the recorded answer does not tell",
    "scenario-limits-openlit": "no cached tokens for chats",
    "scenario-litellm-otel-callback": "only in a text that the corpus has cut",
    "scenario-litellm-otel-callback-exp": "only in a text that the corpus has cut",
    "scenario-logfire": "only in a text that the corpus has cut",
    "scenario-openai-v2": "no cached and no reasoning tokens",
    "scenario-openai-v2-exp": "no cached and no reasoning tokens",
    "scenario-openai-v2-u04-exp": "no cached and no reasoning tokens",
    "scenario-openai-v2-u04-legacy": "no cached and no reasoning tokens",
    "scenario-openlit": "no cached tokens for chats",
    "scenario-semantic-kernel-native": "no cached and no reasoning tokens",
    "scenario-strands-native": "no reasoning tokens",
    "scenario-tl-langchain+tl-openai": "no reasoning tokens",
    "scenario-tl-litellm": "no reasoning tokens",
    "scenario-tl-openai": "no reasoning tokens of asynchronous streams",
    "scenario-vercel-ai5": "generateText tells totals only",
    "scenario-vercel-ai7": "no reasoning tokens",
}
"""Emitters that tell the totals of some calls right, and not what of them was cached or reasoned."""


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(CORPUS / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


TRUTH: Final = {
    (row["emitter"], row["test"]): row
    for row in lines("truth")
    if not row["verdict_of_naive_sum"].startswith("truth unknown")
}
EMITTERS: Final = sorted({emitter for emitter, _ in TRUTH})


def record(span: dict[str, Any]) -> SpanRecord:
    return SpanRecord(
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
        parent_span_id=span["parent_span_id"] or None,
        process=span.get("service") or "",
    )


@cache
def runs(emitter: str) -> dict[str, list[ModelCall | NotBilled]]:
    """What is read of every span, by test."""
    by_test: defaultdict[str, list[ModelCall | NotBilled]] = defaultdict(list)
    for span in lines(emitter):
        by_test[span["test"]].append(read_call(record(span)))
    return by_test


def select_calls(read: list[ModelCall | NotBilled]) -> list[ModelCall]:
    """One call of each group, in an order that does not depend on that of the spans."""
    calls = [call for call in read if isinstance(call, ModelCall)]
    merged = [merge([calls[position] for position in group]) for group in select(calls)]
    return sorted(merged, key=lambda call: (call.start_time_unix_nano, call.span_id))


def billed(read: list[ModelCall | NotBilled]) -> dict[str, int]:
    """What is billed for the spans of one run, in the buckets of the truth."""
    total: Counter[str] = Counter(dict.fromkeys(BUCKETS, 0))
    for call in select_calls(read):
        if isinstance(call.usage, TokenUsage):
            total["input_total"] += call.usage.input_tokens
            total["output_total"] += call.usage.output_tokens
            total["cache_read"] += call.usage.all_cache_read_tokens
            total["cache_write"] += call.usage.all_cache_write_tokens
            total["reasoning"] += call.usage.reasoning_tokens
    return dict(total)


def truths(emitter: str) -> dict[str, dict[str, Any]]:
    return {test: row for (of, test), row in TRUTH.items() if of == emitter}


@pytest.mark.parametrize("emitter", EMITTERS)
def test_what_the_spans_carry_is_billed_to_the_token(emitter: str) -> None:
    """The provider's own answer is the judge."""
    wrong = {}
    for test, row in truths(emitter).items():
        if not row["verdict_of_naive_sum"].startswith(CARRIED) or (emitter, test) in NOT_ON_ANY_SPAN:
            continue
        answer, expected = billed(runs(emitter)[test]), _truth(row)
        keys = TOTALS if emitter in PARTS_NOT_ON_THE_SPAN else BUCKETS
        if any(answer[key] != expected[key] for key in keys):
            wrong[test] = (answer, expected)

    assert bool(wrong) == (emitter in WRONG_ON_THE_SPAN), wrong


@pytest.mark.parametrize("emitter", EMITTERS)
def test_no_more_is_billed_than_was_used(emitter: str) -> None:
    """Whoever is billed too much has been robbed; what is billed too little is held for a person to look at."""
    too_high = {
        test: (answer, row["billable"])
        for test, row in truths(emitter).items()
        if any((answer := billed(runs(emitter)[test]))[key] > _truth(row)[key] for key in TOTALS)
    }

    assert bool(too_high) == (emitter in WRONG_ON_THE_SPAN), too_high


@pytest.mark.parametrize("emitter", sorted(PARTS_NOT_ON_THE_SPAN))
def test_an_emitter_is_excused_only_as_long_as_it_needs_it(emitter: str) -> None:
    """An excuse that is no longer needed would hide the next mistake."""
    answers = {test: (billed(runs(emitter)[test]), _truth(row)) for test, row in truths(emitter).items()}

    assert any(answer != expected for answer, expected in answers.values())


@pytest.mark.parametrize("emitter", EMITTERS)
def test_the_order_in_which_spans_come_changes_nothing(emitter: str) -> None:
    """Behind a Collector they come in any order, in any number of requests."""
    for test in truths(emitter):
        read = runs(emitter)[test]
        shuffled = random.Random(test).sample(read, len(read))

        assert select_calls(shuffled) == select_calls(read), test


@pytest.mark.parametrize("emitter", EMITTERS)
def test_a_call_whose_tokens_are_on_no_span_is_held_where_it_has_a_span(emitter: str) -> None:
    """Nothing vanishes silently: what looks like a call ends in a counted state."""
    for test, row in truths(emitter).items():
        calls = select_calls(runs(emitter)[test])
        if row["verdict_of_naive_sum"].startswith(("LOST: span without tokens", "zero")) and calls:
            is_held = any(isinstance(call.usage, Unmetered) for call in calls)
            assert is_held or billed(runs(emitter)[test]) == _truth(row), test


@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".jsonl.gz") for path in CORPUS.glob("*.unlabelled.*")))
def test_every_span_of_which_no_truth_is_known_is_read_as_well(name: str) -> None:
    """Their numbers are made up, but a span is a span."""
    for read in runs(name).values():
        for call in select_calls(read):
            assert isinstance(call.usage, (TokenUsage, Unmetered))


def _truth(row: dict[str, Any]) -> dict[str, int]:
    return {**dict.fromkeys(BUCKETS, 0), **row["billable"]}
