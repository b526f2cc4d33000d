"""Specifies which spans are runs of an agent or a workflow."""

from __future__ import annotations

from typing import Any

import pytest

from otel_polar.billing.agents import read_run


@pytest.mark.parametrize(
    ("attributes", "run"),
    [
        (
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"},
            {"kind": "agent", "name": "helper"},
        ),
        ({"gen_ai.operation.name": "invoke_agent"}, {"kind": "agent"}),
        (
            {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "x" * 600},
            {"kind": "workflow", "name": "x" * 500},
        ),
        ({"openinference.span.kind": "AGENT", "agent.name": "helper"}, {"kind": "agent", "name": "helper"}),
        (
            {"traceloop.span.kind": "workflow", "traceloop.entity.name": "joke"},
            {"kind": "workflow", "name": "joke"},
        ),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": 5}, {"kind": "agent"}),
        ({"gen_ai.operation.name": "chat", "gen_ai.agent.name": "helper"}, None),
        ({"gen_ai.operation.name": "execute_tool"}, None),
        ({"openinference.span.kind": "CHAIN"}, None),
        ({"gen_ai.operation.name": ("invoke_agent",)}, None),
        ({}, None),
    ],
)
def test_a_run_is_told_by_its_kind_and_name(attributes: dict[str, Any], run: dict[str, str] | None) -> None:
    """By the words of each convention."""
    assert read_run(attributes) == run
