"""Specifies that the dashboard and the alerts ask for what the code emits, and leave nothing of it out."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.delivery.metrics.instruments import NAMES
from otel_polar.sandbox import SandboxServer
from tests.delivery.metered_providers import CALL, a_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent.parent / "examples" / "observability"
README = (EXAMPLES.parent.parent / "README.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((EXAMPLES / "prometheus-alerts.yaml").read_text())["groups"][0]["rules"]

OF_SCRAPING = {"job", "instance"}
"""Labels that Prometheus adds."""

Exposed = dict[str, dict[str, set[str]]]
"""For each sample's name its labels, and the values of each."""


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """What Prometheus scrapes from an application to which everything happens."""
    registry = CollectorRegistry()
    with a_provider(PrometheusMetricReader(registry=registry)), SandboxServer() as server:
        # A request that fails has labels of its own.
        server.answer_next(401, b'{"error": "invalid_token"}')
        processor = PolarSpanProcessor(
            access_token="polar_oat_test",
            base_url=server.url,
            outbox_dir=tmp_path_factory.mktemp("outbox"),
            settle_s=0.0,
            linger_s=0.0,
        )
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("opentelemetry.util.genai.handler")
        with bill_to("alice"):
            tracer.start_span("chat", attributes=CALL).end()
            provider.force_flush(200)
            tracer.start_span("chat", attributes={**CALL, "gen_ai.request.model": "gpt-9000"}).end()
            tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat"}).end()
        with bill_to(customer_id=str(uuid.uuid4())):
            tracer.start_span("chat", attributes={**CALL, "gen_ai.usage.output_tokens": 11}).end()
        tracer.start_span("chat", attributes={**CALL, "gen_ai.usage.output_tokens": 12}).end()
        assert provider.force_flush(10_000)
        text = generate_latest(registry).decode()
        provider.shutdown()
    found: Exposed = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def expressions() -> dict[str, str]:
    """Every query of the two files, by where it stands."""
    of_panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }
    return of_panels | {rule["alert"]: rule["expr"] for rule in RULES}


SELECTOR = re.compile(r"(?<![\w\"$])(otel_\w+)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric in a query, with what its labels must match."""
    for name, matchers in SELECTOR.findall(GROUPING.sub("", expression)):
        yield name, MATCHER.findall(matchers)


def grouped_by(expression: str) -> set[str]:
    """The labels that the result of a query has."""
    return {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")}


@pytest.mark.parametrize(("place", "expression"), expressions().items())
def test_every_query_asks_for_what_there_is(place: str, expression: str, exposed: Exposed) -> None:
    """A panel without data and an alert that never fires look as if all were well."""
    found = list(selectors(expression))

    assert found, place
    for name, matchers in found:
        labels = exposed[name]
        assert grouped_by(expression) - OF_SCRAPING <= labels.keys(), name
        for label, operator, wanted in matchers:
            if label in OF_SCRAPING:
                continue
            values = labels[label]
            matching = {v for v in values if (re.fullmatch(wanted, v) if "~" in operator else v == wanted)}
            # One may be matched by what did not happen, such as a call that was lost; then the others show the rest.
            assert matching, f"{name}: {label} {operator} {wanted} among {values}"


def test_every_metric_is_on_the_dashboard(exposed: Exposed) -> None:
    """What nobody sees need not be emitted."""
    shown = {
        name
        for place, query in expressions().items()
        if not place.startswith("OtelPolar")
        for name, _ in selectors(query)
    }
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    emitted = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in exposed if name.startswith("otel_")}

    assert emitted == families
    assert {name.replace(".", "_") for name in NAMES} == {re.sub(r"_(total|seconds)$", "", name) for name in emitted}


def test_the_readme_tells_of_every_metric_and_its_attributes(exposed: Exposed) -> None:
    """It is where people look up what a number means."""
    section = README.partition("## Metrics\n")[2].partition("\n## ")[0]
    labels = {label for name, labels in exposed.items() if name.startswith("otel_") for label in labels}
    told = {word.replace(".", "_") for word in re.findall(r"`([\w.]+)`", section)}

    assert [name for name in NAMES if f"| `{name}` |" not in section] == []
    assert {label for label in labels if not label.startswith("otel_scope_")} - {"le"} <= told


def test_what_its_readme_shows_can_be_copied() -> None:
    """A Collector refuses to start, and a program to run, for one wrong character."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", (EXAMPLES / "README.md").read_text(), re.DOTALL)

    assert [language for language, _ in blocks] == ["yaml", "python"]
    assert yaml.safe_load(blocks[0][1]).keys() == {"receivers", "exporters", "service"}
    compile(blocks[1][1], "README.md", "exec")


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """Its data source is asked for, and no panel lies on another."""
    variables = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    sources = {
        json.dumps(each["datasource"], sort_keys=True)
        for panel in DASHBOARD["panels"]
        for each in (panel, *panel["targets"])
    }
    cells = [
        (column, row)
        for panel in DASHBOARD["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert variables == {"datasource": "datasource", "job": "query"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert len(cells) == len(set(cells))
    assert {column for column, _ in cells} == set(range(24))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    """Somebody reads it at night."""
    labels = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert labels <= grouped_by(rule["expr"])


def test_there_is_an_alert_for_everything_that_costs_money() -> None:
    """Each of these is usage that nobody is billed for, if nobody does anything."""
    queries = " ".join(rule["expr"] for rule in RULES)

    for part in (
        '"held: unpriced"',
        '"held: unattributed"',
        '"held: unmetered"',
        '"rejected"',
        "oldest_age",
        "lost|failed",
        "queue_size",
    ):
        assert part in queries
