"""Spans around model calls that are runs of an agent or of a workflow, and what is told of them.

Sources: the OpenTelemetry GenAI semantic conventions (``invoke_agent``, ``invoke_workflow``); OpenInference's
(``openinference.span.kind``, ``agent.name``); OpenLLMetry (``traceloop.span.kind``, ``traceloop.entity.name``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv
from otel_polar.billing.metadata import MAX_VALUE_CHARACTERS

if TYPE_CHECKING:
    from otel_polar.billing.call import TagValue
    from otel_polar.billing.span import Attributes

_RUNS: Final = {
    semconv.OPERATION_NAME: {"invoke_agent": "agent", "invoke_workflow": "workflow"},
    semconv.OPENINFERENCE_KIND: {"AGENT": "agent"},
    semconv.TRACELOOP_KIND: {"agent": "agent", "workflow": "workflow"},
}
_NAMES: Final = ("gen_ai.agent.name", "gen_ai.workflow.name", "agent.name", "traceloop.entity.name")


def read_run(attributes: Attributes) -> dict[str, TagValue] | None:
    """What is told of a run: its ``kind`` and, if it has one, its ``name``; ``None`` if a span is no run."""
    for attribute, kinds in _RUNS.items():
        told = attributes.get(attribute)
        if isinstance(told, str) and told in kinds:
            name = next((attributes[name] for name in _NAMES if isinstance(attributes.get(name), str)), None)
            return {"kind": kinds[told], **({"name": str(name)[:MAX_VALUE_CHARACTERS]} if name else {})}
    return None
