"""Specifies how the processor comes into applications that have no line about it, in real child processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.sandbox.openai_api import OpenAIServer
from tests.capture.support import TOKEN
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.sandbox import SandboxServer

pytestmark = pytest.mark.slow

COMMAND: Final = Path(sys.executable).parent / "opentelemetry-instrument"

APPLICATION: Final = """
from openai import OpenAI
from opentelemetry import baggage, context

context.attach(baggage.set_baggage("userId", "alice"))
with OpenAI() as client:
    chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello there"}]}
    client.chat.completions.create(**chat)
    list(client.chat.completions.create(**chat, stream=True))
    client.responses.create(model="gpt-4o-mini", input="Hello there")
"""

DECLARATIVE: Final = """
file_format: "1.0"
tracer_provider:
  processors:
    - simple: {exporter: {console: {}}}
  sampler: {polar: {}}
propagator:
  composite: [{tracecontext: {}}, {polar_baggage: {}}]
instrumentation/development:
  python:
    polar: {tags: plan}
"""


@pytest.fixture(scope="module")
def vendor() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def environment(vendor: OpenAIServer, polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, str]:
    """An application's own, with a token."""
    return {
        **unmeasured_environment(),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": vendor.base_url,
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": polar_sandbox.url,
        "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox"),
        "OTEL_POLAR_SETTLE_S": "0",
        "OTEL_POLAR_LINGER_S": "0",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }


def start(environment: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [COMMAND, sys.executable, "-c", APPLICATION],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result


def billed(polar_sandbox: SandboxServer) -> list[tuple[str, int]]:
    """Who paid for how many tokens."""
    return [(event["external_customer_id"], event["metadata"]["total_tokens"]) for event in polar_sandbox.events()]


THREE_CALLS: Final = [("alice", 14)] * 3


def test_opentelemetrys_command_bills_every_call(environment: dict[str, str], polar_sandbox: SandboxServer) -> None:
    """With openai-v2 installed, which has no span for the third call and no usage for the second."""
    start(environment)

    assert billed(polar_sandbox) == THREE_CALLS


def test_what_the_environment_does_not_sample_is_billed_and_not_exported(
    environment: dict[str, str], polar_sandbox: SandboxServer
) -> None:
    """By the instrumentor, and by the sampler that the environment can name."""
    told = start(environment, OTEL_TRACES_SAMPLER="always_off", OTEL_TRACES_EXPORTER="console")
    named = start(
        environment,
        OTEL_TRACES_SAMPLER="polar",
        OTEL_TRACES_SAMPLER_ARG="always_off",
        OTEL_TRACES_EXPORTER="console",
    )

    assert billed(polar_sandbox) == THREE_CALLS * 2
    assert "trace_id" not in told.stdout + named.stdout


def test_an_exporter_by_name_is_enough_and_bills_nothing_twice(
    environment: dict[str, str], polar_sandbox: SandboxServer
) -> None:
    """OTEL_TRACES_EXPORTER=console,polar: the other exporter goes on as before."""
    result = start(environment, OTEL_TRACES_EXPORTER="console,polar")
    alone = start(environment, OTEL_TRACES_EXPORTER="polar", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="polar")

    assert billed(polar_sandbox) == THREE_CALLS * 2
    assert result.stdout.count('"trace_id"') >= 3
    assert "Attempting to instrument while already instrumented" not in result.stderr + alone.stderr


def test_a_configuration_file_is_enough(
    environment: dict[str, str], polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Sampler, propagator and instrumentor by their names."""
    config = tmp_path / "otel.yaml"
    config.write_text(DECLARATIVE)
    variables = {name: value for name, value in environment.items() if not name.endswith("_EXPORTER")}
    result = start(variables, OTEL_CONFIG_FILE=str(config))

    assert billed(polar_sandbox) == THREE_CALLS, result.stderr
    assert result.stdout.count('"trace_id"') >= 3


def test_an_exporter_in_a_configuration_file_stands_back_for_the_instrumentor(
    environment: dict[str, str], polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """There is no provider yet when it is made."""
    config = tmp_path / "otel.yaml"
    config.write_text(DECLARATIVE.replace("{console: {}}", "{polar: {}}"))
    variables = {name: value for name, value in environment.items() if not name.endswith("_EXPORTER")}
    result = start(variables, OTEL_CONFIG_FILE=str(config))

    assert billed(polar_sandbox) == THREE_CALLS, result.stderr
    assert "an exporter alone sees no baggage" in result.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [({"POLAR_ACCESS_TOKEN": ""}, "no access token"), ({"OTEL_POLAR_SETTLE_S": "soon"}, "NOBODY IS BILLED: settle_s")],
    ids=["no token", "a wrong option"],
)
def test_an_application_runs_on_without_it(
    environment: dict[str, str], polar_sandbox: SandboxServer, variables: dict[str, str], said: str
) -> None:
    """And its own tracing, too; what is wrong is said."""
    result = start(environment, OTEL_TRACES_EXPORTER="console", **variables)

    assert said in result.stderr
    assert result.stdout.count('"trace_id"') >= 2
    assert polar_sandbox.events() == []


def test_the_entry_points_are_these() -> None:
    """Their names are what users write into their environment."""
    installed = distribution("otel-polar").entry_points
    assert {entry.group: entry.name for entry in installed if entry.group.startswith("opentelemetry_")} == {
        "opentelemetry_instrumentor": "polar",
        "opentelemetry_propagator": "polar_baggage",
        "opentelemetry_sampler": "polar",
        "opentelemetry_traces_exporter": "polar",
        "opentelemetry_traces_sampler": "polar",
    }
