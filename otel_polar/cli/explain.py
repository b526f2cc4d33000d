"""``otel-polar explain``: what becomes of every span of a recording, and why."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otel_polar.billing.customer import Customer, InvalidIdError, build_customer
from otel_polar.billing.explain import Explanation, explain
from otel_polar.billing.money import ZERO, plain
from otel_polar.billing.usage import TokenUsage
from otel_polar.cli.extras import needs_extra
from otel_polar.cli.output import fail, print_json, say
from otel_polar.cli.prices import price_book
from otel_polar.cli.printable import printable
from otel_polar.cli.words import counted
from otel_polar.errors import ConfigError, OtelPolarError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.customer import Unattributed

_INDENT: Final = " " * 20


def explain_spans(
    file: Annotated[str, typer.Argument(help="File with spans; `-` for standard input.", metavar="FILE")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a span, for programs.")] = False,
    customer: Annotated[
        str | None,
        typer.Option(help="Who pays where no attribute names anybody, as baggage would; it is not on spans."),
    ] = None,
    bill_scopes: Annotated[
        str | None,
        typer.Option(help="The scopes that bill, separated by commas. Default: OTEL_POLAR_BILL_SCOPES."),
    ] = None,
) -> None:
    """Say of every span whether it is billed, why, in which dialect it was read, its tokens, customer and cost.

    Takes OTLP as JSON or protobuf, lines of OTLP/JSON as the Collector's file exporter writes them, or lines of spans
    as in the package's own tests, also gzipped. Prices are those of your rate card (OTEL_POLAR_RATE_CARD) and of the
    catalogue; nothing is sent anywhere.

    Example: `otel-polar explain --customer user_42 spans.jsonl`
    """
    try:
        settings = Settings.load(bill_scopes=bill_scopes)
        carried = None if customer is None else build_customer(external=customer)
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        explanations, unreadable = _explain(content, settings, carried)
    except (ConfigError, OtelPolarError, InvalidIdError, OSError) as error:
        fail(f"explain {file}", error)
    for explanation in explanations:
        if as_json:
            print_json(_as_json(explanation))
        else:
            typer.echo(_as_text(explanation))
    if not as_json:
        typer.echo(_summary(explanations))
    if unreadable:
        say(f"{counted(unreadable, 'span')} without ids or times left out")


def _explain(content: bytes, settings: Settings, carried: Customer | None) -> tuple[list[Explanation], int]:
    with needs_extra("cli", "serve"):
        from otel_polar.service.otlp import read_spans  # noqa: PLC0415 - protobuf is an extra

        read = read_spans(content)
    explanations = explain(
        read.spans,
        keys=settings.customer_keys,
        bill_scopes=tuple(settings.bill_scopes),
        trusted_costs=settings.trusted_costs,
        resolver=price_book(settings).price,
        carried=carried,
        sends_unpriced=settings.on_unpriced == "send",
        drops_unattributed=settings.on_unattributed == "drop",
    )
    return explanations, read.unreadable


def _as_text(explanation: Explanation) -> str:
    span, call = explanation.span, explanation.call
    head = [span.name, span.scope_name or "no scope"] + ([call.dialect] if call is not None else [])
    lines = [f"{explanation.verdict:<20}" + " · ".join(printable(part) for part in head), _INDENT + explanation.reason]
    if call is not None:
        lines.append(_INDENT + printable(", ".join(filter(None, (_model(call), _tokens(call), _who(call.customer))))))
    if explanation.of is not None:
        price = explanation.price
        about = "about " if price is not None and price.is_approximate else ""
        cost = "" if price is None else f", costs {about}{plain(price.usd)} USD"
        lines.append(f"{_INDENT}event {explanation.of}{cost}")
        lines += [_INDENT + printable(note) for note in (() if price is None else price.notes)]
    return "\n".join(lines)


def _summary(explanations: Sequence[Explanation]) -> str:
    verdicts = Counter(explanation.verdict for explanation in explanations)
    tokens = sum(_billed_tokens(explanation) for explanation in explanations)
    usd = sum((explanation.price.usd for explanation in explanations if explanation.price is not None), ZERO)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())) or "nothing to bill"
    return f"{len(explanations)} spans: {told}. Calls to models: {tokens} tokens, {plain(usd)} USD"


def _billed_tokens(explanation: Explanation) -> int:
    call = explanation.call
    if call is None or explanation.verdict in {"duplicate", "not billed"} or not isinstance(call.usage, TokenUsage):
        return 0
    return call.usage.total_tokens


def _model(call: ModelCall) -> str:
    return f"{call.operation} {call.provider or 'provider unknown'} {call.model or 'model unknown'}"


def _tokens(call: ModelCall) -> str:
    usage = call.usage
    if not isinstance(usage, TokenUsage):
        return "tokens unknown"
    cached = f" ({usage.all_cache_read_tokens} from cache)" if usage.all_cache_read_tokens else ""
    written = f" ({usage.all_cache_write_tokens} to cache)" if usage.all_cache_write_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} reasoning)" if usage.reasoning_tokens else ""
    return f"{usage.input_tokens} in{cached}{written} + {usage.output_tokens} out{reasoning}"


def _who(customer: Customer | Unattributed) -> str:
    if not isinstance(customer, Customer):
        return "nobody pays"
    member = "" if customer.member_id is None else f" (member {customer.member_id})"
    return f"{customer.customer_id or customer.external_customer_id}{member} pays"


def _as_json(explanation: Explanation) -> dict[str, Any]:
    span, call = explanation.span, explanation.call
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "name": span.name,
        "scope": span.scope_name,
        "verdict": explanation.verdict,
        "reason": explanation.reason,
        "dialect": None if call is None else call.dialect,
        "operation": None if call is None else call.operation,
        "provider": None if call is None else call.provider,
        "model": None if call is None else call.model,
        "usage": None if call is None or not isinstance(call.usage, TokenUsage) else _usage_as_json(call.usage),
        "customer": None
        if call is None or not isinstance(call.customer, Customer)
        else _customer_as_json(call.customer),
        "cost_usd": None if explanation.price is None else plain(explanation.price.usd),
        "cost_is_approximate": explanation.price is not None and explanation.price.is_approximate,
        "external_id": explanation.of,
    }


def _usage_as_json(usage: TokenUsage) -> dict[str, int]:
    totals = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {**totals, **usage._asdict()}


def _customer_as_json(customer: Customer) -> dict[str, str]:
    fields = {
        "customer_id": customer.customer_id,
        "external_customer_id": customer.external_customer_id,
        "member_id": customer.member_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
