"""``otel-polar outbox show``: everything that is known of one call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from otel_polar.billing.call import ModelCall
from otel_polar.cli.outbox.options import AsJson, open_view
from otel_polar.cli.outbox.shown import iso, json_of, row_of, time_of, troubles_of, what
from otel_polar.cli.outbox.states import advice, meaning, what_is_next
from otel_polar.cli.output import Ending, end, fail, failing, print_json, say, working
from otel_polar.cli.printable import printable
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import counted, usd
from otel_polar.delivery.disk.record import dump_call, dump_measurement
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.finding import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.delivery.looking.seen import SeenCall
    from otel_polar.delivery.looking.view import OutboxView

_SHOWN_AT_MOST = 10
_NANOS_FIELDS = frozenset({"start", "end"})
"""Of a record: times in Unix nanoseconds."""

_NANOS_PER_S = 1_000_000_000


def show(
    external_id: Annotated[
        str, typer.Argument(metavar="EXTERNAL_ID", help="The call's external id, or its beginning.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything that is known of one call: what was recorded, its event, its other spans, and what is next.

    The record is forgotten some minutes after Polar has the event, and the event is made when the call is no longer
    held. Nothing of what was said in the call is kept at all. Ends with 1 if there is no such call or several begin so,
    or a file of the outbox could not be read, and 3 if there is none.

    Example: `otel-polar outbox show openai:chatcmpl-AbC`
    """
    with failing("outbox show"):
        view = open_view()
        with working("Reading the outbox"):
            found = _find(view, external_id)
            spans = _other_spans(view, found[0]) if len(found) == 1 else []
    for trouble in troubles_of(view):
        say(trouble)
    if len(found) != 1:
        _fail_to_find(external_id, found)
    (seen,) = found
    if as_json:
        print_json(_everything(seen, spans))
    else:
        _print(seen, spans)
    end(Ending.WRONG if view.troubles else Ending.WELL)


def _find(view: OutboxView, external_id: str) -> list[SeenCall]:
    if exact := list(view.calls(Wanted(external_ids=frozenset({external_id})))):
        return exact
    found: list[SeenCall] = []
    for seen in view.calls():
        if seen.external_id.startswith(external_id):
            found.append(seen)
            if len(found) > _SHOWN_AT_MOST:
                break
    return found


def _fail_to_find(external_id: str, found: list[SeenCall]) -> NoReturn:
    if not found:
        fail("outbox show", f"no call in the outbox has an external id that begins with {external_id}", Ending.WRONG)
    for seen in found[:_SHOWN_AT_MOST]:
        say(printable(f"{seen.external_id}  {seen.state}"))
    more = " or more" if len(found) > _SHOWN_AT_MOST else ""
    fail(
        "outbox show",
        f"{counted(min(len(found), _SHOWN_AT_MOST), 'call')}{more} in the outbox begin with {external_id}: give more"
        " of it",
        Ending.WRONG,
    )


def _other_spans(view: OutboxView, seen: SeenCall) -> list[SeenCall]:
    of = seen.duplicate_of or seen.external_id
    wanted = Wanted(states=frozenset({State.DUPLICATE}), reason=of)
    spans = [span for span in view.calls(wanted) if span.duplicate_of == of and span.external_id != seen.external_id]
    if seen.duplicate_of is not None:
        spans = [*view.calls(Wanted(external_ids=frozenset({of}))), *spans]
    return spans


def _everything(seen: SeenCall, spans: list[SeenCall]) -> dict[str, Any]:
    return {
        **json_of(seen),
        "meaning": meaning(seen.state).text,
        "next": what_is_next(seen),
        "advice": advice(seen.state, seen.reason) or None,
        "call": _record(seen),
        "event": seen.body,
        "other_spans": [json_of(span) for span in spans],
    }


def _record(seen: SeenCall) -> dict[str, Any] | None:
    if seen.call is None:
        return None
    text = dump_call(seen.call) if isinstance(seen.call, ModelCall) else dump_measurement(seen.call)
    told: dict[str, Any] = json.loads(text)
    return told


def _print(seen: SeenCall, spans: list[SeenCall]) -> None:
    show_table("", ("of the call", "what is known"), _lines(seen))
    record = _record(seen)
    if record is None:
        typer.echo("The record is forgotten, or cannot be read.")
    else:
        show_table(
            "As it was recorded", ("field", "value"), ((key, _value(key, value)) for key, value in record.items())
        )
    if seen.body is None:
        typer.echo("There is no event yet.")
    else:
        typer.echo("The event, as Polar gets it:")
        typer.echo("\n".join(map(printable, json.dumps(seen.body, indent=2).splitlines())))
    if spans:
        show_table("Other spans of it", ("external id", "state", "recorded"), map(_span, spans))
    typer.echo(printable(f"Next: {what_is_next(seen)}"))
    if said := advice(seen.state, seen.reason):
        typer.echo(said)


def _lines(seen: SeenCall) -> Iterator[tuple[str, str]]:
    _, state, customer, _, tokens, cost, reason, external_id = row_of(seen)
    yield "external id", external_id
    yield "state", f"{state}: {meaning(seen.state).text}"
    if reason:
        yield "reason", reason
    yield "recorded", time_of(seen.recorded_at)
    if seen.started_at is not None:
        yield "started", iso(seen.started_at) or "-"
    if seen.settled_at is not None:
        yield "settled", time_of(seen.settled_at)
    yield "customer", customer if seen.member_id is None else f"{customer} (member {seen.member_id})"
    yield "what", what(seen)
    yield "tokens (in + out)", tokens
    yield "cost", cost
    if seen.charge_nanos is not None:
        yield "charge", usd(seen.charge_nanos)
    yield "file", seen.file


def _span(seen: SeenCall) -> tuple[str, str, str]:
    return seen.external_id, seen.state.value, time_of(seen.recorded_at)


def _value(key: str, value: object) -> str:
    if key in _NANOS_FIELDS and isinstance(value, int):
        return f"{value} ({iso(value / _NANOS_PER_S) or 'no time'})"
    return value if isinstance(value, str) else json.dumps(value)
