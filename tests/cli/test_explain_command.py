"""``otel-polar explain`` as a real process."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import run_command as run

CORPUS = Path(__file__).parent.parent / "corpus"
OTLP: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "chat-api"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "opentelemetry.instrumentation.genai.openai"},
                    "spans": [
                        {
                            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                            "spanId": "00f067aa0ba902b7",
                            "name": "chat gpt-4o-mini\u001b[2J",
                            "startTimeUnixNano": "1790855999000000000",
                            "endTimeUnixNano": "1790855999500000000",
                            "attributes": [
                                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
                                {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o-mini"}},
                                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1000"}},
                                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "100"}},
                                {"key": "gen_ai.usage.cache_read.input_tokens", "value": {"intValue": "400"}},
                            ],
                        }
                    ],
                }
            ],
        }
    ]
}


EVENT = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-18da660af045b600"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(OTLP))
    return path


def test_it_says_of_a_span_what_is_billed_to_whom_and_at_what_cost(file: Path) -> None:
    """600 at 0.15, 400 at 0.075 and 100 at 0.60 dollars a million: 0.00018 dollars."""
    result = run("explain", str(file), "--customer", "user_42")

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "billed              chat gpt-4o-mini?[2J · opentelemetry.instrumentation.genai.openai · OpenTelemetry GenAI",
        "                    a call to a model",
        "                    chat openai gpt-4o-mini, 1000 in (400 from cache) + 100 out, user_42 pays",
        f"                    event {EVENT}, costs 0.00018 USD",
        "1 spans: 1 billed. Calls to models: 1100 tokens, 0.00018 USD",
    ]


def test_programs_get_an_object_a_line(file: Path) -> None:
    """The same, for a script."""
    result = run("explain", str(file), "--json")

    (line,) = result.stdout.splitlines()
    answer = json.loads(line)
    assert (answer["verdict"], answer["cost_usd"], answer["customer"]) == ("held: unattributed", "0.00018", None)
    assert (answer["usage"]["input_tokens"], answer["usage"]["uncached_input_tokens"]) == (1000, 600)


def test_the_corpus_is_read_as_it_is() -> None:
    """Lines of spans, gzipped."""
    path = CORPUS / "scenario-oi-langchain+oi-openai.jsonl.gz"
    with gzip.open(path, "rt") as spans:
        count = sum(1 for _ in spans)

    result = run("explain", str(path), "--customer", "user_42", "--json")

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == count
    assert {answer["verdict"] for answer in answers} >= {"billed", "duplicate", "not billed", "held: unmetered"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["does-not-exist.json"], "No such file"),
        (["README.md"], "accepted are OTLP traces"),
        (["README.md", "--customer", "a;b"], "must not contain ';'"),
    ],
)
def test_what_cannot_be_read_is_said_and_ends_with_3(arguments: list[str], told: str) -> None:
    """What was found, and what would be accepted."""
    result = run("explain", *arguments)

    assert (result.returncode, result.stdout) == (3, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
