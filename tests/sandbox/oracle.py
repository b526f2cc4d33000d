"""Polar's schema of an event once more, in pydantic, which is what Polar validates with.

The sandbox has rules of its own, on the standard library alone. Here the same schema is declared as polarsource/polar
declares it (server/polar/event/schemas.py), so that pydantic itself is the judge of what its answers look like.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, NotRequired

from pydantic import (
    UUID4,
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from tests.sandbox.support import NOON


def reject_nul_character(value: Any) -> Any:
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("This value contains invalid characters")
    return value


def is_past(value: datetime) -> datetime:
    if value.astimezone(UTC) > datetime.fromtimestamp(NOON, UTC):
        raise ValueError("Timestamp must be in the past.")
    return value


Text = Annotated[str, AfterValidator(reject_nul_character)]
Value = (
    Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(reject_nul_character)]
    | int
    | float
    | bool
)


class Cost(TypedDict):
    amount: Annotated[Decimal, Field(max_digits=17, decimal_places=12)]
    currency: Annotated[str, Field(pattern="usd")]


class Llm(TypedDict):
    vendor: Text
    model: Text
    prompt: NotRequired[Text | None]
    response: NotRequired[Text | None]
    input_tokens: int
    cached_input_tokens: NotRequired[int]
    output_tokens: int
    total_tokens: int


class EventBase(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    timestamp: Annotated[AwareDatetime, AfterValidator(is_past)] = Field(default=datetime(2020, 1, 1, tzinfo=UTC))
    name: Annotated[str, Field(max_length=128), AfterValidator(reject_nul_character)]
    organization_id: UUID4 | None = None
    external_id: Text | None = None
    parent_id: Text | None = None
    metadata: dict[str, Any] = Field(default={})


class EventCreateCustomer(EventBase):
    customer_id: UUID4
    member_id: UUID4 | None = None


class EventCreateExternalCustomer(EventBase):
    external_customer_id: Text
    external_member_id: Text | None = None


class Ingest(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    events: list[EventCreateCustomer | EventCreateExternalCustomer]


class Metadata(BaseModel):
    """An extensible TypedDict, written as a model: mypy does not know ``extra_items`` yet."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]

    cost: Cost = Field(default_factory=lambda: Cost(amount=Decimal(0), currency="usd"), alias="_cost")
    llm: Llm = Field(
        default_factory=lambda: Llm(vendor="", model="", input_tokens=0, output_tokens=0, total_tokens=0), alias="_llm"
    )


def problems(model: type[BaseModel], value: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return the type and place of every problem pydantic finds."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return [(found["type"], found["loc"]) for found in error.errors()]
    return []
