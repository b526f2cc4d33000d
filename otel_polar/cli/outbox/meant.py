"""Which calls a command that changes some is meant for: never all of them by an oversight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from otel_polar.cli.outbox.options import (
    WHICH,
    AsJson,
    CustomerOption,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    States,
    UntilOption,
    read_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.looking.finding import Wanted

__all__ = [
    "AsJson",
    "CustomerOption",
    "Every",
    "ExternalIds",
    "ModelOption",
    "ReasonOption",
    "SinceOption",
    "States",
    "UntilOption",
    "read_meant",
]

Every: TypeAlias = Annotated[bool, typer.Option("--all", help="All that it can be done to.", rich_help_panel=WHICH)]


def read_meant(
    of_states: Iterable[State],
    *,
    external_ids: Sequence[str] | None,
    every: bool = True,
    states: Sequence[str] | None = None,
    customer: str | None = None,
    model: str | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Wanted:
    """The calls that the words of a command line mean, among those in the states that the command is for.

    Calls that are named one by one are looked for in every state: where one is in another, that is said.

    Raises:
        typer.BadParameter: if a word is none of a state or a time, or nothing says which calls, not even *every*.
    """
    if not every and not external_ids and not states and not any((customer, model, reason, since, until)):
        raise typer.BadParameter(
            "say which calls: by their external ids, by filters, or --all", param_hint="EXTERNAL_ID"
        )
    wanted_states = states or (None if external_ids else [state.value for state in of_states])
    return read_wanted(
        states=wanted_states,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
        external_ids=external_ids,
    )
