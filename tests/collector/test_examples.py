"""Specifies that every configuration of a Collector in ``examples/collector`` is one, and that it loses nothing."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS
from tests.collector.examples import CONFIGS, EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README: Final = (EXAMPLES / "README.md").read_text()
TO_BILLING: Final = {"otlp_http/otel-polar", "otlp_grpc/gateway", "load_balancing", "kafka"}
KAFKA: Final = {"KAFKA_USERNAME": "collector", "KAFKA_PASSWORD": "secret"}
MAX_REQUEST_BYTES: Final = 64 * 2**20


def of_compose() -> str:
    """The Collector's configuration within ``compose.yaml``."""
    content: str = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["configs"]["collector"]["content"]
    return content.replace("$$", "$")


def of_kubernetes() -> str:
    """The same within ``kubernetes.yaml``."""
    (content,) = (
        document["data"]["config.yaml"]
        for document in yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
        if document["kind"] == "ConfigMap" and "config.yaml" in document["data"]
    )
    assert isinstance(content, str)
    return content


ALL: Final = {
    **{name: (EXAMPLES / f"{name}.yaml").read_text() for name in CONFIGS},
    "compose": of_compose(),
    "kubernetes": of_kubernetes(),
}


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["otlp_http/otel-polar", "kafka"])
@pytest.mark.parametrize("name", ALL)
def test_the_collector_itself_accepts_every_configuration(
    name: str, exporter: str, binary: Path, tmp_path: Path
) -> None:
    """One name that it does not know, and it does not start."""
    config = tmp_path / "config.yaml"
    config.write_text(ALL[name])
    told = subprocess.run(
        [binary, "validate", f"--config={config}"],
        env={**os.environ, **KAFKA, "COLLECTOR_TOKEN": "t", "COLLECTOR_EXPORTER": exporter},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def exporters() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every exporter on the way to billing, by file and name."""
    for file, text in ALL.items():
        for name, settings in yaml.safe_load(text)["exporters"].items():
            if name in TO_BILLING:
                yield file, name, settings


@pytest.mark.parametrize(("file", "name", "settings"), list(exporters()))
def test_an_exporter_on_the_way_to_billing_never_gives_up(file: str, name: str, settings: dict[str, Any]) -> None:
    """By default it drops what is older than five minutes, what does not fit, and what was in memory when it died."""
    queue = settings["sending_queue"]

    assert settings["retry_on_failure"]["max_elapsed_time"] == "0s", file
    assert (queue["storage"], queue["block_on_overflow"]) == ("file_storage/queue", True)
    # Batches are of a size that its receiver takes: ours, a gateway's of 64 MiB, or what a message may have.
    largest = settings.get("producer", {}).get("max_message_bytes", MAX_REQUEST_BYTES)
    assert queue["sizer"] == "bytes"
    assert queue["batch"]["min_size"] <= queue["batch"]["max_size"] < largest
    if name == "kafka":
        assert (settings["producer"]["required_acks"], settings["partition_traces_by_id"]) == ("all", True)
    if name == "load_balancing":
        assert settings["routing_key"] == "traceID"
        inner = settings["protocol"]["otlp"]
        assert not inner["sending_queue"]["enabled"]
        assert not inner["retry_on_failure"]["enabled"]


@pytest.mark.parametrize("file", ALL)
def test_nothing_between_receiver_and_queue_holds_spans_in_memory(file: str) -> None:
    """They were acknowledged, and would be lost with the process."""
    config = yaml.safe_load(ALL[file])
    pipelines = config["service"]["pipelines"]
    on_the_way = [p for p in pipelines.values() if TO_BILLING.intersection(p["exporters"]) or "$" in p["exporters"][0]]

    assert on_the_way
    for pipeline in on_the_way:
        kinds = {name.partition("/")[0] for name in pipeline["processors"]}
        assert kinds <= {"memory_limiter", "filter", "transform"}
        assert pipeline["processors"][0] == "memory_limiter"
    assert config["extensions"]["file_storage/queue"]["fsync"] is True
    assert set(config["service"]["extensions"]) == config["extensions"].keys()
    assert {name for p in pipelines.values() for name in p["processors"]} == config.get("processors", {}).keys()


@pytest.mark.parametrize("file", [file for file, text in ALL.items() if "filter/genai" in text])
def test_the_filter_lets_everything_through_that_is_billed(file: str) -> None:
    """A span that it drops is a call that nobody pays for."""
    settings = yaml.safe_load(ALL[file])["processors"]["filter/genai"]
    (condition,) = settings["trace_conditions"]
    parts = condition.split(" and ")

    assert settings["error_mode"] == "ignore"
    assert all(re.fullmatch(r'span\.attributes\["[\w.]+"\] == nil', part) for part in parts)
    assert set(re.findall(r'"([\w.]+)"', condition)) == MODEL_CALL_MARKERS | {EVENT_NAME}


def test_no_token_is_sent_over_a_line_without_tls_to_another_host() -> None:
    """Whoever reads it can bill anybody."""
    for file, _, settings in exporters():
        inner = settings.get("protocol", {}).get("otlp", settings)
        if "auth" in inner and file != "compose":
            assert inner["tls"]["ca_file"], file
            assert not str(inner.get("endpoint", "")).startswith("http://"), file


def test_the_page_leads_to_every_file() -> None:
    """A file that nobody is led to is not found."""
    files = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}

    assert files == set(re.findall(r"`([\w-]+\.(?:yaml|toml|service)|Dockerfile)`", README.partition("## In this")[0]))


def test_the_page_names_what_each_answer_makes_a_collector_do() -> None:
    """Whoever reads the Collector's log looks there."""
    from otel_polar.service import otlp_grpc, otlp_http  # noqa: PLC0415 - grpcio is an extra

    table = README.partition("## What our answers")[2].partition("\n## ")[0]
    told = {int(status) for status in re.findall(r"\b[2345]\d\d\b", table.partition("We never")[0])}

    assert told == {200, 403, 405, 415, *otlp_http._STATUS.values()}
    assert all(code.name in table for code in otlp_grpc._CODE.values())


def test_what_the_page_shows_in_python_can_be_run() -> None:
    """It is what people copy."""
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        compile(block, "README.md", "exec")
