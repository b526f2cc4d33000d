"""Specifies events of runs: Polar shows an agent's calls below it, and never waits for a parent that does not come."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace

from otel_polar import bill_to, metered
from otel_polar.capture.providers import use_tracer_provider

if TYPE_CHECKING:
    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}


@pytest.fixture
def app(make_app: MakeApp) -> App:
    return make_app(agent_event_name="agent_run")


def tree(app: App) -> list[tuple[str, str | None, str | None]]:
    """Of each event its name, the name of the run it is or is below, and who pays."""
    bodies = app.bodies()
    runs = {body["external_id"]: body["metadata"].get("name", "?") for body in bodies if body["name"] == "agent_run"}
    return [
        (
            f"run {body['metadata'].get('name')}" if body["name"] == "agent_run" else body["name"],
            runs[body["parent_id"]] if "parent_id" in body else None,
            body.get("external_customer_id"),
        )
        for body in bodies
    ]


def agent(app: App, **attributes: Any) -> Any:
    return app.tracer.start_as_current_span("invoke_agent", attributes={**AGENT, **attributes})


def test_the_calls_of_a_run_are_below_its_event_which_comes_first(app: App) -> None:
    """Polar shows nothing whose parent it has not seen."""
    with bill_to("alice"), agent(app):
        with app.tracer.start_as_current_span("step"):
            app.call()
        app.call()

    assert tree(app) == [
        ("run helper", None, "alice"),
        ("llm_usage", "helper", "alice"),
        ("llm_usage", "helper", "alice"),
    ]
    run = app.bodies()[0]["metadata"]
    assert {key: run[key] for key in run if key not in {"trace_id", "span_id"}} == {"kind": "agent", "name": "helper"}


def test_runs_inside_runs_and_other_usage_are_one_tree(app: App) -> None:
    """A workflow of agents, one of which makes a file."""
    use_tracer_provider(app.provider)
    workflow = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.agent.name": "outer"}
    with bill_to("alice"), agent(app, **workflow), agent(app, **{"gen_ai.agent.name": "inner"}):
        app.call()
        with metered("file"):
            pass
    use_tracer_provider(None)

    assert tree(app) == [
        ("run outer", None, "alice"),
        ("run inner", "outer", "alice"),
        ("llm_usage", "inner", "alice"),
        ("file", "inner", "alice"),
    ]


def test_what_a_span_learns_of_itself_later_counts(app: App) -> None:
    """LangChain's spans start without attributes."""
    with bill_to("alice"), app.tracer.start_as_current_span("agent") as span:
        span.set_attributes(AGENT)
        app.call()

    assert tree(app)[0] == ("run helper", None, "alice")


def test_another_customers_call_is_not_below_it(app: App) -> None:
    """A run that serves many is shown to none of the others."""
    with bill_to("alice"), agent(app):
        app.call()
        with bill_to("bob"):
            app.call()

    assert tree(app) == [("run helper", None, "alice"), ("llm_usage", "helper", "alice"), ("llm_usage", None, "bob")]


@pytest.mark.parametrize("why", ["nobody pays", "no call", "the run is over", "another process"])
def test_no_run_is_made_up(app: App, why: str) -> None:
    """Neither an event without calls, nor a parent that may never be sent."""
    with bill_to(None if why == "nobody pays" else "alice"):
        with agent(app) as run:
            inside = trace.set_span_in_context(run, context.get_current())
            if why == "nobody pays":
                app.call()
        if why == "the run is over":
            app.call(parent=inside)
        if why == "another process":
            app.call(parent=trace.set_span_in_context(trace.NonRecordingSpan(run.get_span_context())))

    is_called = why in {"the run is over", "another process"}
    assert [(name, parent) for name, parent, _ in tree(app)] == [("llm_usage", None)] * is_called


def test_a_parent_that_was_refused_is_not_named(app: App) -> None:
    """What came before its call may be gone for good; the call is billed all the same."""
    with bill_to("alice"), agent(app):
        app.call()
        app.flush()
        app.outbox.database.write("UPDATE events SET state = 'rejected' WHERE body LIKE '%agent_run%'", ())
        app.call()

    assert [parent for _, parent, _ in tree(app)] == [None, "helper", None]


def test_without_the_option_there_are_no_runs(make_app: MakeApp) -> None:
    """An event more than was asked for may be one too many."""
    app = make_app()
    with bill_to("alice"), agent(app):
        app.call()

    assert tree(app) == [("llm_usage", None, "alice")]


def test_spans_that_begin_in_ended_ones_for_ever_are_not_kept(app: App) -> None:
    """A task that schedules itself again begins each of its spans under the last one."""
    first = app.tracer.start_span("task")
    alive = weakref.ref(first)
    span: Any = first
    for _ in range(10):
        inside = trace.set_span_in_context(span)
        span.end()
        span = app.tracer.start_span("task", context=inside)
    app.exporter.clear()
    del first, inside
    gc.collect()

    assert alive() is None
    span.end()
