"""Benefits: what a product grants to those who subscribe to it. Here: credits of a meter, and ``custom`` ones.

Sources: polarsource/polar, server/polar/benefit/endpoints.py, server/polar/benefit/strategies/meter_credit.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, queries, scalars
from otel_polar.sandbox.bodies import INT32, problem, read_body, read_metadata, yes_or_no
from otel_polar.sandbox.scalars import refused
from otel_polar.sandbox.schema import Member, one_of, read_object
from otel_polar.sandbox.selling_shapes import benefit_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from otel_polar.sandbox.catalog import Item
    from otel_polar.sandbox.store import SandboxStore


def _units(value: Any) -> int:
    units = scalars.integer(value)
    if units not in INT32:
        message = f"Input should be less than or equal to {INT32[-1]}"
        raise refused("less_than_equal", message, value, le=INT32[-1])
    if units <= 0:
        raise refused("greater_than", "Input should be greater than 0", value, gt=0)
    return units


_CREDIT: Final = {"units": Member(_units), "rollover": Member(yes_or_no), "meter_id": Member(scalars.uuid4)}
_CUSTOM: Final = {"note": Member(scalars.optional(scalars.text), default=None)}
_SORTS: Final[Mapping[str, Callable[[Item], Any]]] = {
    "created_at": lambda benefit: benefit["created_at_us"],
    "description": lambda benefit: benefit["description"],
    "type": lambda benefit: benefit["type"],
}


def _members(body: Any) -> dict[str, Member]:
    kind = body.get("type") if isinstance(body, dict) else None
    properties = _CUSTOM if kind == "custom" else _CREDIT
    return {
        "type": Member(one_of("meter_credit", "custom")),
        "description": Member(scalars.text_between(3, 42)),
        "properties": Member(lambda value: read_object(value, properties)),
        "visibility": Member(scalars.optional(one_of("draft", "private", "public")), default=None),
        "metadata": Member(read_metadata, default={}),
    }


@dataclass(frozen=True, slots=True)
class BenefitsApi:
    """The endpoints around benefits."""

    store: SandboxStore

    async def create(self, request: Request) -> Response:
        """Create a benefit."""
        body = await answers.read_json(request)
        fields = read_body(body, _members(body))
        meter_id = fields["properties"].get("meter_id")
        if meter_id is not None and self.store.find_meter(meter_id) is None:
            return answers.semantic_error([problem("properties.meter_id", "This meter does not exist.", meter_id)])
        identity = {"id": str(uuid.uuid4()), "created_at_us": self.store.now_us(), "modified_at_us": None}
        benefit = {**identity, **fields, "visibility": fields["visibility"] or "public"}
        return JSONResponse(benefit_shape(self.store.catalog.benefits.put(benefit)), 201)

    async def list_all(self, request: Request) -> Response:
        """Answer with the benefits, the newest first unless sorted otherwise."""
        query = request.query_params
        text, metadata = query.get("query", "").lower(), queries.read_metadata_query(query)
        found = [
            benefit
            for benefit in self.store.catalog.benefits.all()
            if text in benefit["description"].lower()
            and queries.is_wanted(query, "type", benefit["type"])
            and queries.is_wanted(query, "id", benefit["id"])
            and queries.has_metadata(benefit["metadata"], metadata)
        ]
        queries.sort(request, found, _SORTS, "-created_at")
        return queries.page(request, found, benefit_shape)

    async def get(self, request: Request) -> Response:
        """Answer with one benefit."""
        benefit = self.store.catalog.benefits.get(request.path_params["id"])
        return answers.not_found() if benefit is None else JSONResponse(benefit_shape(benefit))
