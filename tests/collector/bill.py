"""What the application knows, and what Polar has, side by side."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.servers.child import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.collector.application import Application, Call
    from tests.servers.polar import Polar

_DELIVERED_S = 60.0


def wait_for_all(application: Application, polar: Polar) -> None:
    """Return as soon as Polar has an event of every call.

    Raises:
        AssertionError: if one is missing after a minute.
    """

    def missing() -> set[str]:
        return application.calls.keys() - {_key(event) for event in polar.events()}

    try:
        wait_until(lambda: not missing(), "every call is in Polar", _DELIVERED_S)
    except AssertionError as error:
        error.add_note(f"missing are {sorted(missing())}")
        raise


def problems(application: Application, polar: Polar) -> list[str]:
    """Everything that is wrong; empty if every call is there once, with its customer, its tokens and its cost."""
    return list(_problems(application.calls, polar.events()))


def _problems(calls: dict[str, Call], events: list[dict[str, Any]]) -> Iterator[str]:
    times = Counter(_key(event) for event in events)
    for key in calls.keys() | times.keys():
        if key not in calls:
            yield f"{key} is in Polar, and nobody made that call"
        elif times[key] != 1:
            yield f"{key} is in Polar {times[key]} times"
    for event in events:
        if call := calls.get(_key(event)):
            metadata = event["metadata"]
            was = (
                event["external_customer_id"],
                metadata["input_tokens"],
                metadata["output_tokens"],
                metadata["cost_nanos"],
            )
            should_be = (call.customer, call.input_tokens, call.output_tokens, call.cost_nanos)
            if was != should_be:
                yield f"{call.key} should be {should_be}, is {was}"


def _key(event: dict[str, Any]) -> str:
    return str(event["metadata"].get("call"))
